package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/partition"
)

var configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}

func mustMeta(obj any) metav1.Object {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err) // only objects of informers come here
	}
	return m
}

// An observer watches the objects of a namespace, and knows who has them and what was written to them when.
type observer struct {
	mu      sync.Mutex
	shardOf map[string]string
	drained map[string]bool
	writes  int
	last    time.Time
	first   map[string]time.Time // when the object was first seen with a shard
}

func observe(ctx context.Context, config *rest.Config, namespace string) (*observer, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	o := &observer{shardOf: map[string]string{}, drained: map[string]bool{}, first: map[string]time.Time{}}
	factory := metadatainformer.NewFilteredSharedInformerFactory(client, 0, namespace, nil)
	informer := factory.ForResource(configMaps).Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { o.seen(mustMeta(obj)) },
		UpdateFunc: func(_, obj any) { o.seen(mustMeta(obj)) },
	})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, ctx.Err()
	}
	return o, nil
}

func (o *observer) seen(obj metav1.Object) {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	name := obj.GetName()
	o.shardOf[name] = obj.GetLabels()[v1alpha1.ShardLabel(ringName)]
	_, o.drained[name] = obj.GetLabels()[v1alpha1.DrainLabel(ringName)]
	o.writes++
	o.last = now
	if _, ok := o.first[name]; !ok && o.shardOf[name] != "" {
		o.first[name] = now
	}
}

// reset forgets the writes so far and returns who has what.
func (o *observer) reset() map[string]string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writes = 0
	before := make(map[string]string, len(o.shardOf))
	for name, shard := range o.shardOf {
		before[name] = shard
	}
	return before
}

// settled returns how many objects are not where a ring of the shards wants them, or are asked for.
func (o *observer) unsettled(namespace string, shards ...string) int {
	members := make([]ring.Member, len(shards))
	for i, name := range shards {
		members[i].Name = name
	}
	r, err := ring.New(members...)
	if err != nil {
		panic(err) // the names are ours
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for name, shard := range o.shardOf {
		home, _ := r.Owner(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, namespace, name))
		if shard != home || o.drained[name] {
			n++
		}
	}
	return n
}

// settle waits until all objects are where a ring of the shards wants them, and returns when the last write was seen.
func (o *observer) settle(ctx context.Context, timeout time.Duration, namespace string, shards ...string) (time.Time, error) {
	err := poll(ctx, timeout, func() error {
		if n := o.unsettled(namespace, shards...); n > 0 {
			return fmt.Errorf("%d objects are not where they belong", n)
		}
		return nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, err
}

// moved counts the objects that have another shard than before.
func (o *observer) moved(before map[string]string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for name, shard := range before {
		if o.shardOf[name] != shard {
			n++
		}
	}
	return n
}

// gaps returns how long each object that a shard let go of after since had no worker, and when the last one got one.
func gaps(dir string, since time.Time) (gaps []time.Duration, last time.Time, err error) {
	type note struct {
		at    time.Time
		works bool
	}
	notes := map[string][]note{}
	files, err := filepath.Glob(filepath.Join(dir, "*.record"))
	if err != nil {
		return nil, last, err
	}
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, last, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var nanos int64
			var works bool
			var key string
			if _, err := fmt.Sscan(lines.Text(), &nanos, &works, &key); err != nil {
				continue // cut off by a crash
			}
			if at := time.Unix(0, nanos); at.After(since) {
				notes[key] = append(notes[key], note{at, works})
			}
		}
		f.Close()
	}
	for _, n := range notes {
		slices.SortFunc(n, func(a, b note) int { return a.at.Compare(b.at) })
		for i := range n {
			if n[i].works {
				if n[i].at.After(last) {
					last = n[i].at
				}
				if i > 0 && !n[i-1].works {
					gaps = append(gaps, n[i].at.Sub(n[i-1].at))
				}
			}
		}
	}
	return gaps, last, nil
}
