package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/wire"
	foos "github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned/typed/samplecontroller/v1alpha1"
	foov1alpha1 "github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

// birth is what the API server answered to the creation of a Foo.
type birth struct {
	key   string
	label bool // it was born with a label for its slot
	at    time.Time
	took  time.Duration
}

// traffic is what users do: they create Foos and edit them.
type traffic struct {
	client foos.FooInterface

	mu      sync.Mutex
	next    int
	births  []birth
	refused []string // what the API server said when it did not do it
	edits   int
}

// create creates n Foos, so many per second, or as fast as eight clients can when perSecond is 0. It returns those that
// were created, in the order of the answers.
func (t *traffic) create(ctx context.Context, n, perSecond int) []birth {
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		births []birth
		slots  = make(chan struct{}, 8)
		tick   <-chan time.Time
	)
	if perSecond > 0 {
		slots = make(chan struct{}, n)
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		tick = ticker.C
	}
	for range n {
		if perSecond > 0 {
			select {
			case <-tick:
			case <-ctx.Done():
			}
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if b, ok := t.createOne(ctx); ok {
				mu.Lock()
				defer mu.Unlock()
				births = append(births, b)
			}
		})
	}
	wg.Wait()
	return births
}

func (t *traffic) createOne(ctx context.Context) (birth, bool) {
	t.mu.Lock()
	t.next++
	name := fmt.Sprintf("foo-%04d", t.next)
	t.mu.Unlock()

	started := time.Now()
	foo, err := t.client.Create(ctx, newFoo(name), metav1.CreateOptions{})

	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			t.refused = append(t.refused, fmt.Sprintf("create Foo %s/%s: %v", fooNamespace, name, err))
		}
		return birth{}, false
	}
	b := birth{key: fooNamespace + "/" + name, label: foo.Labels[wire.SlotLabel(ring)] != "", at: time.Now(), took: time.Since(started)}
	t.births = append(t.births, b)
	return b, true
}

// rehearse creates a Foo that is not kept.
func (t *traffic) rehearse(ctx context.Context) error {
	_, err := t.client.Create(ctx, newFoo("rehearsal"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

func newFoo(name string) *foov1alpha1.Foo {
	return &foov1alpha1.Foo{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: fooNamespace},
		Spec:       foov1alpha1.FooSpec{DeploymentName: name, Replicas: ptr.To[int32](0)},
	}
}

// edit scales Foos up and down, so many per second, until the context is done. Which ones is chosen at random.
func (t *traffic) edit(ctx context.Context, perSecond int) {
	ticker := time.NewTicker(time.Second / time.Duration(perSecond))
	defer ticker.Stop()
	for replicas := map[string]int{}; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		key := t.any()
		if key == "" {
			continue
		}
		replicas[key] = 1 - replicas[key]
		patch := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas[key])
		name := key[len(fooNamespace)+1:]
		_, err := t.client.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		t.mu.Lock()
		t.edits++
		if err != nil && ctx.Err() == nil {
			t.refused = append(t.refused, fmt.Sprintf("edit Foo %s: %v", key, err))
		}
		t.mu.Unlock()
	}
}

// any returns the key of one of the Foos that were created, but not of those that somebody tampers with.
func (t *traffic) any() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.births) <= victims {
		return ""
	}
	return t.births[victims+rand.IntN(len(t.births)-victims)].key
}

// created returns how many Foos were created.
func (t *traffic) created() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.births)
}

// outcome returns the keys of all Foos that were created, what the API server refused, and the number of edits.
func (t *traffic) outcome() (created, refused []string, edits int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.births {
		created = append(created, b.key)
	}
	return created, slices.Clone(t.refused), t.edits
}

// unlabelled returns those that were born without a label for their slot.
func unlabelled(births []birth) []birth {
	return slices.DeleteFunc(slices.Clone(births), func(b birth) bool { return b.label })
}

// slowest returns the longest and the middle time that a creation took.
func slowest(births []birth) (median, longest time.Duration) {
	if len(births) == 0 {
		return 0, 0
	}
	sorted := slices.SortedFunc(slices.Values(births), func(a, b birth) int { return cmp.Compare(a.took, b.took) })
	return sorted[len(sorted)/2].took, sorted[len(sorted)-1].took
}
