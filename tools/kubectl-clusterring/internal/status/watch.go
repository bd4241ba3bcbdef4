package status

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	"k8s.io/client-go/tools/cache"

	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

const (
	// minInterval is the least time between two looks at what the informers have.
	minInterval = 200 * time.Millisecond
	// maxInterval is the longest: ages on a terminal, and Leases that run out, change without an event.
	maxInterval = time.Second
)

// watcher tells of one ring, or of all, until it is interrupted.
type watcher struct {
	o    *cli.Options
	c    *cli.Clients
	name string
	ring cache.SharedIndexInformer
	// leases are by namespace, all Leases of it: somebody may have removed the label of one.
	leases map[string]cache.SharedIndexInformer

	wake chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	trouble string // why the API server does not answer
	told    string // of trouble

	last     List
	lastData []byte
}

func newWatcher(o *cli.Options, c *cli.Clients, name string) *watcher {
	return &watcher{o: o, c: c, name: name, leases: map[string]cache.SharedIndexInformer{}, wake: make(chan struct{}, 1)}
}

// run returns nil when ctx ends, because that is how a watch is ended.
func (w *watcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer w.wg.Wait()
	defer cancel()
	w.ring = ringinformers.NewFilteredClusterRingInformer(w.c.Rings, 0, cache.Indexers{}, func(options *metav1.ListOptions) {
		if w.name != "" {
			options.FieldSelector = fields.OneTermEqualSelector("metadata.name", w.name).String()
		}
	})
	if err := w.start(ctx, w.ring); err != nil {
		return err
	}
	ticker := time.NewTicker(maxInterval)
	defer ticker.Stop()
	for first := true; ; first = false {
		if err := w.look(ctx, first); err != nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(minInterval):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-ticker.C:
		}
	}
}

// start starts an informer and waits until it has what is there.
func (w *watcher) start(ctx context.Context, informer cache.SharedIndexInformer) error {
	event := func() {
		w.fail(nil)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	handler, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { event() }, UpdateFunc: func(_, _ any) { event() }, DeleteFunc: func(any) { event() },
	})
	if err != nil {
		return err
	}
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) { w.fail(err) }); err != nil {
		return err
	}
	w.wg.Go(func() { informer.RunWithContext(ctx) })
	cache.WaitForCacheSync(ctx.Done(), handler.HasSynced)
	return nil
}

// fail notes that the API server does not answer, or that it does.
func (w *watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trouble = ""
	if err != nil {
		w.trouble = err.Error()
	}
}

// look tells what has changed since the last look.
func (w *watcher) look(ctx context.Context, first bool) error {
	var all []*rings.Ring
	for _, object := range w.ring.GetStore().List() {
		object := object.(*v1alpha1.ClusterRing)
		namespace := object.Spec.Shards.Namespace
		if w.leases[namespace] == nil && namespace != "" {
			w.leases[namespace] = coordinationinformers.NewLeaseInformer(w.c.Kube, namespace, 0, cache.Indexers{})
			if err := w.start(ctx, w.leases[namespace]); err != nil {
				return err
			}
		}
		var leases []*coordinationv1.Lease
		if informer := w.leases[namespace]; informer != nil {
			for _, lease := range informer.GetStore().List() {
				leases = append(leases, lease.(*coordinationv1.Lease))
			}
		}
		all = append(all, rings.New(object, leases))
	}
	if ctx.Err() != nil {
		return nil
	}
	rings.Sort(all)
	list := listOf(all, time.Now())
	var report cli.Report = list
	if w.name != "" {
		report = Report{Ring: w.name, Ready: "Unknown"}
		if len(list.Rings) > 0 {
			report = list.Rings[0]
		}
	}
	defer func() { w.last = list }()
	switch {
	case w.o.Output != "table":
		return w.document(report)
	case w.o.Terminal:
		return w.draw(report, len(list.Rings) == 0)
	case first:
		return w.o.Print(report)
	}
	return w.append(list)
}

// document writes the report if it differs from the one before.
func (w *watcher) document(report cli.Report) error {
	data, err := json.Marshal(report)
	if err != nil || bytes.Equal(data, w.lastData) {
		return err
	}
	if w.lastData != nil && w.o.Output == "yaml" {
		fmt.Fprintln(w.o.Out, "---")
	}
	w.lastData = data
	return w.o.Print(report)
}

// draw writes the report over the one before.
func (w *watcher) draw(report cli.Report, gone bool) error {
	p := w.o.Printer()
	if gone && w.name != "" {
		p.Line("There is no ring %s any more.", w.name)
	} else {
		report.Text(p)
	}
	p.Line("")
	if trouble := w.problem(); trouble != "" {
		p.Wrapped("", "What is above may be old, the API server gives no answer: "+trouble, text.Bad)
	}
	p.Line("%s", p.Styled(text.Dim, time.Now().Format(time.TimeOnly)+", Ctrl-C ends this"))
	var b bytes.Buffer
	if _, err := p.WriteTo(&b); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if _, height := w.o.Size(); len(lines) >= height {
		lines = append(lines[:height-2], "…")
	}
	clean := "\x1b[H"
	if w.lastData == nil {
		clean, w.lastData = "\x1b[2J\x1b[H", []byte{}
	}
	_, err := fmt.Fprint(w.o.Out, clean, strings.Join(lines, "\x1b[K\n"), "\x1b[K\n\x1b[J")
	return err
}

// append writes a line for everything that has changed.
func (w *watcher) append(list List) error {
	lines := changes(w.last, list)
	if trouble := w.problem(); trouble != w.told {
		w.told = trouble
		if trouble == "" {
			lines = append(lines, "the API server answers again")
		} else {
			lines = append(lines, "the API server gives no answer: "+trouble)
		}
	}
	for _, line := range lines {
		if _, err := fmt.Fprintln(w.o.Out, time.Now().Format(time.TimeOnly), line); err != nil {
			return err
		}
	}
	return nil
}

func (w *watcher) problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}
