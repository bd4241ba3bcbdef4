package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	websitesclient "github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned/typed/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/examples/webhosting/generated/informers/externalversions"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// requestTimeout is how long an operation may take. It is longer than what a webhook that hangs costs.
const requestTimeout = 20 * time.Second

// Config says what load to generate.
type Config struct {
	// Client creates, changes, deletes and watches Websites. It must not limit its own rate. Required.
	Client versioned.Interface
	// Namespace is where the Websites are. Required.
	Namespace string
	// Load is how much of what is done when. Required.
	Load scenario.Load
	// Themes are the names of the Themes that Websites have, one of them at random. Two at least, so that a Website can
	// change. Required.
	Themes []string
	// Idle is how many Websites are created before the load, and then left alone: load in the number of objects only.
	Idle int
	// Seed decides all random choices.
	Seed uint64
	// InFlight is how many requests of each kind may be under way. Default: 100.
	InFlight int
	// Registerer gets the metrics. Required.
	Registerer prometheus.Registerer
}

// Status is how far the load has come.
type Status struct {
	// Began and Ended are when the first and the last operation could begin. Ended is zero until all have ended.
	Began, Ended time.Time
	// Websites is how many exist, Unfinished how many generations were asked for and not seen to be ready.
	Websites, Unfinished int
	// Reconciled is how many generations were ready in the end, Late how many of them took longer than the Objective.
	Reconciled, Late int
	// Oldest is the Website that has waited for longest, Since when; it is empty if none waits.
	Oldest string
	Since  time.Time
	// Operations are what became of them, Errors some of the errors.
	Operations map[string]Count
	Errors     []string
}

// Load is load on the operator.
type Load struct {
	cfg      Config
	client   websitesclient.WebsiteInterface
	metrics  *metrics
	tracker  *tracker
	websites *websites
	ready    chan struct{}
	stopOnce sync.Once
	stop     chan struct{}

	mu           sync.Mutex
	began, ended time.Time
}

// New returns load that begins with Run.
func New(cfg Config) (*Load, error) {
	var errs []error
	if cfg.Client == nil || cfg.Registerer == nil || cfg.Namespace == "" {
		errs = append(errs, errors.New("Client, Registerer and Namespace are required"))
	}
	if cfg.Load.Duration <= 0 {
		errs = append(errs, fmt.Errorf("a duration of %s", cfg.Load.Duration))
	}
	if cfg.Idle < 0 {
		errs = append(errs, fmt.Errorf("%d idle Websites", cfg.Idle))
	}
	if len(cfg.Themes) < 2 {
		errs = append(errs, fmt.Errorf("%d themes: there must be two at least", len(cfg.Themes)))
	}
	if cfg.InFlight == 0 {
		cfg.InFlight = 100
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("load config: %w", err)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	return &Load{
		cfg: cfg, client: cfg.Client.WebhostingV1alpha1().Websites(cfg.Namespace), metrics: m,
		tracker: newTracker(m.duration, m.latency), websites: newWebsites(cfg.Seed, cfg.Themes),
		ready: make(chan struct{}), stop: make(chan struct{}),
	}, nil
}

// Run generates load as soon as it watches, until its duration is over or Stop is called. Then it goes on watching what
// becomes of the Websites, until ctx ends.
func (l *Load) Run(ctx context.Context) error {
	factory := externalversions.NewSharedInformerFactoryWithOptions(l.cfg.Client, 0, externalversions.WithNamespace(l.cfg.Namespace))
	informer := factory.Webhosting().V1alpha1().Websites().Informer()
	see := func(obj any) {
		if l.hasBegun() {
			l.tracker.seen(obj.(*v1alpha1.Website), time.Now())
		}
	}
	handle, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    see,
		UpdateFunc: func(_, obj any) { see(obj) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if website, ok := obj.(*v1alpha1.Website); ok {
				l.tracker.forget(website.UID, time.Now())
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch Websites: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	factory.Start(ctx.Done())
	defer factory.Shutdown()
	defer cancel()
	if !cache.WaitForCacheSync(ctx.Done(), handle.HasSynced) {
		return nil
	}
	if err := l.createIdle(ctx, factory.Webhosting().V1alpha1().Websites().Lister()); err != nil {
		return err
	}
	close(l.ready)
	l.generate(ctx)
	<-ctx.Done()
	return nil
}

// Stop ends the load early.
func (l *Load) Stop() { l.stopOnce.Do(func() { close(l.stop) }) }

// Ready is closed when the load begins.
func (l *Load) Ready() <-chan struct{} { return l.ready }

// Status returns how far the load has come.
func (l *Load) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{Began: l.began, Ended: l.ended, Websites: l.cfg.Idle + l.websites.count(), Unfinished: l.tracker.unfinished()}
	s.Reconciled, s.Late = l.tracker.counts()
	s.Oldest, s.Since = l.tracker.oldest()
	s.Operations, s.Errors = l.metrics.snapshot()
	return s
}

// generate does all operations.
func (l *Load) generate(ctx context.Context) {
	l.set(&l.began, time.Now())
	// What is under way when the load is stopped may finish.
	beginning, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.stop:
			cancel()
		case <-beginning.Done():
		}
	}()
	load := l.cfg.Load
	over := make(chan time.Time)
	pacers := map[string]*pacer{
		Generator: {due: load.Create.Total, do: l.create},
		Deleter:   {due: l.whileThereAre(load.Delete, func(int) float64 { return 1 }), do: l.delete},
		Mutator:   {due: l.whileThereAre(load.Mutate, func(n int) float64 { return float64(n) }), do: l.mutate},
	}
	for controller, p := range pacers {
		operation := p.do
		p.inFlight = l.cfg.InFlight
		p.missed = func() { l.metrics.miss(controller) }
		p.do = func(_ context.Context, due time.Time) {
			ctx, cancel := context.WithTimeout(ctx, requestTimeout)
			defer cancel()
			operation(ctx, due)
		}
		go func() { over <- p.run(beginning, load.Duration) }()
	}
	var last time.Time
	for range pacers {
		if at := <-over; at.After(last) {
			last = at
		}
	}
	l.set(&l.ended, last)
}

// whileThereAre returns how many operations are due, if there are Websites at all, for a rate that is multiplied by what times
// says for a number of Websites.
func (l *Load) whileThereAre(rate scenario.Profile, times func(n int) float64) func(from, to time.Duration) float64 {
	return func(from, to time.Duration) float64 {
		n := l.websites.count()
		if n == 0 {
			return 0
		}
		return rate.Total(from, to) * times(n)
	}
}

func (l *Load) create(ctx context.Context, due time.Time) {
	site := l.websites.create()
	created, err := l.client.Create(ctx, newWebsite(site), metav1.CreateOptions{})
	l.metrics.done(ctx, Generator, err)
	if err != nil {
		return
	}
	l.tracker.requested(site.name, created.UID, created.Generation, due)
	l.websites.add(site)
}

func newWebsite(site *website) *v1alpha1.Website {
	return &v1alpha1.Website{
		ObjectMeta: metav1.ObjectMeta{Name: site.name, Labels: map[string]string{v1alpha1.LabelLoadTest: "true"}},
		Spec:       v1alpha1.WebsiteSpec{Theme: site.theme},
	}
}

func (l *Load) mutate(ctx context.Context, due time.Time) {
	site, theme := l.websites.change()
	if site == nil { // all of them are being changed
		l.metrics.miss(Mutator)
		return
	}
	changed, err := l.client.Patch(ctx, site.name, types.MergePatchType, fmt.Appendf(nil, `{"spec":{"theme":%q}}`, theme), metav1.PatchOptions{})
	if err != nil {
		theme = site.theme
	}
	if !l.websites.changed(site, theme) && apierrors.IsNotFound(err) {
		return // the deleter was faster
	}
	l.metrics.done(ctx, Mutator, err)
	if err == nil {
		l.tracker.requested(site.name, changed.UID, changed.Generation, due)
	}
}

func (l *Load) delete(ctx context.Context, _ time.Time) {
	site := l.websites.remove()
	if site == nil {
		return
	}
	err := l.client.Delete(ctx, site.name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
	l.metrics.done(ctx, Deleter, err)
}

// hasBegun tells whether the load has.
func (l *Load) hasBegun() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.began.IsZero()
}

func (l *Load) set(at *time.Time, to time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*at = to
}
