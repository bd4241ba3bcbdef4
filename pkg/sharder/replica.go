package sharder

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/internal/watchwait"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/admission"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/labels"
	"github.com/clusterring/clusterring/pkg/sharder/leases"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/sharder/table"
)

// ReplicaConfig configures a Replica.
type ReplicaConfig struct {
	// Sharder says how the sharder works, see config.Default. What is in it about the connection to the API server, ports and
	// certificates is left to the caller.
	config.Sharder
	// RESTConfig reaches the API server. Its QPS and Burst bound the requests of the controllers, or those of Sharder.Client
	// do if it has none; the sharder's own Lease has a client of its own. It is copied. Required.
	RESTConfig *rest.Config
	// Ring makes the Replica an embedded one, which serves this ring alone. The ring has spec.sharder: Embedded, and its
	// shards have their Leases in Namespace. The Lease of an embedded sharder is named after its ring, whatever
	// LeaderElection says. By default, the Replica is one of the installed sharder.
	Ring string
	// Certificates has what Admission is served with. The caller serves the one and runs the other. Required, but for an
	// embedded Replica, which has no webhook.
	Certificates certificates.Source
	// Recorder takes events about rings. Required, but for an embedded Replica.
	Recorder events.EventRecorder
	// Registerer takes the metrics. Optional. Those of the workqueues are left out of an embedded Replica's: its controller
	// has its own by these names.
	Registerer prometheus.Registerer
}

// Replica is one of the processes that make up the sharder.
type Replica struct {
	cfg       ReplicaConfig
	rest      *rest.Config
	clients   *clients
	informers *informers
	resolver  *resources.Resolver
	snapshots *snapshot.Cache
	tracker   *leases.Tracker
	handler   *admission.Handler
	calls     *rings.Calls // admission, as far as it is called
	contact   *contact
	metrics   metrics
	// labels are those of the present term, nil between terms.
	labels atomic.Pointer[labels.Controller]
}

// NewReplica returns a Replica that does nothing yet. It makes no requests.
func NewReplica(cfg ReplicaConfig) (*Replica, error) {
	embedded := cfg.Ring != ""
	switch {
	case cfg.RESTConfig == nil || cfg.Namespace == "":
		return nil, errors.New("sharder: RESTConfig and Namespace are required")
	case !embedded && (cfg.Certificates == nil || cfg.Recorder == nil):
		return nil, errors.New("sharder: Certificates and Recorder are required, unless there is a Ring")
	case embedded && cfg.Certificates != nil:
		return nil, errors.New("sharder: with a Ring there are no Certificates, because an embedded sharder has no webhook")
	}
	cfg.Registerer = cmp.Or[prometheus.Registerer](cfg.Registerer, prometheus.NewRegistry())
	queues := cfg.Registerer
	if embedded {
		queues = prometheus.NewRegistry()
		cfg.LeaderElection.LeaseName = embeddedLease(cfg.Ring)
	}
	r := &Replica{cfg: cfg, rest: rest.CopyConfig(cfg.RESTConfig), tracker: leases.NewTracker(cfg.Shards.Grace.Duration), calls: &rings.Calls{}}
	if r.rest.QPS == 0 {
		r.rest.QPS, r.rest.Burst = cfg.Client.QPS, cfg.Client.Burst
	}
	// A watch that waits for the API server does not say that it broke, so the tracker must be told of the wait.
	r.rest.Wrap(watchwait.Wrap(func(error) { r.tracker.Interrupted() }))
	var err error
	if r.clients, err = newClients(r.rest); err != nil {
		return nil, err
	}
	if r.informers, err = newInformers(r.clients, r.tracker, cfg.Ring, cfg.Namespace); err != nil {
		return nil, err
	}
	discovery := r.clients.kube.Discovery().RESTClient()
	r.contact = &contact{client: discovery, lost: r.tracker.Interrupted}
	if r.resolver, err = resources.New(resources.Config{Client: discovery}); err != nil {
		return nil, err
	}
	own := cfg.Namespace
	if embedded {
		own = "" // No create waits for this sharder.
	}
	if r.snapshots, err = snapshot.New(snapshot.Config{
		Rings: r.informers.rings, Leases: r.informers.leases, Resolver: r.resolver, Proofs: r.tracker,
		Serves:     func(ring *v1alpha1.ClusterRing) bool { return cfg.serves(ring) == nil },
		Namespaces: corev1listers.NewNamespaceLister(r.informers.namespaces.GetIndexer()), Namespace: own, Registerer: cfg.Registerer,
	}); err != nil {
		return nil, err
	}
	if r.handler, err = admission.New(admission.Config{
		Rings: r.snapshots.Get, Metadata: r.clients.metadata,
		Called: r.calls.Called, Missed: r.missed, Registerer: cfg.Registerer,
	}); err != nil {
		return nil, err
	}
	r.metrics = newMetrics(cfg.Registerer, queues)
	return r, nil
}

// hostname names this process in the Lease and in logs.
func hostname() string {
	name, _ := os.Hostname()
	return cmp.Or(os.Getenv("POD_NAME"), name, "sharder")
}

// missed asks for an early audit of a ring in which admission left an object without its label, if this replica leads.
func (r *Replica) missed(ring string) {
	if c := r.labels.Load(); c != nil {
		c.Missed(ring)
	}
}

// Admission answers the requests that the webhooks of all rings make. It works from the start, with what is known. Nobody
// asks that of an embedded Replica.
func (r *Replica) Admission() http.Handler { return r.handler }

// Run works until the context ends, and returns when everything has ended. It returns an error when a part of the replica
// cannot go on; that the API server does not answer is no such reason. It can be called once.
func (r *Replica) Run(ctx context.Context) error {
	births, err := labels.New(labels.Config{
		Metadata: r.clients.metadata, Rings: r.snapshots, Metrics: r.metrics.labels, Writers: r.cfg.Labels.ConcurrentWrites,
	})
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, informer := range r.informers.all() {
		g.Go(func() error { informer.RunWithContext(ctx); return nil })
	}
	g.Go(func() error { return r.resolver.Run(ctx) })
	g.Go(func() error { return r.snapshots.Run(ctx) })
	g.Go(func() error { wait.UntilWithContext(ctx, r.contact.try, contactInterval); return nil })
	g.Go(func() error { return r.logMissing(ctx) })
	g.Go(func() error {
		// What does not know all rings, Leases and namespaces would take objects for misplaced.
		if !cache.WaitForCacheSync(ctx.Done(), r.snapshots.Synced, r.informers.leases.HasSynced, r.informers.namespaces.HasSynced) {
			return nil
		}
		g.Go(func() error { return births.Run(ctx) })
		if r.cfg.Ring != "" {
			g.Go(func() error { return r.logIdle(ctx) })
		}
		return r.lead(ctx)
	})
	return g.Wait()
}

// A Check is what a replica needs to be of use: Ready returns what is wrong, or nil.
type Check struct {
	Name  string
	Ready func() error
}

// Checks returns what the readiness of the replica depends on.
func (r *Replica) Checks() []Check {
	checks := []Check{
		{"api-server", r.contact.ok},
		{"rings", has(r.snapshots.Synced, "ClusterRings and Leases have not been read yet")},
		{"namespaces", has(r.informers.namespaces.HasSynced, "namespaces have not been read yet")},
	}
	if r.cfg.Certificates != nil {
		checks = append(checks, Check{"certificate", has(r.cfg.Certificates.Ready, "there is no serving certificate yet")})
	}
	return checks
}

func has(ok func() bool, problem string) func() error {
	return func() error {
		if ok() {
			return nil
		}
		return errors.New(problem)
	}
}

// logMissing logs now and then what the replica waits for, because an API server that does not answer is otherwise told of
// by client-go only. It ends when there is nothing left to wait for.
func (r *Replica) logMissing(ctx context.Context) error {
	const interval = 5 * time.Second
	logger, told := klog.FromContext(ctx), time.Now()
	_ = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(context.Context) (bool, error) {
		var missing []string
		for _, c := range r.Checks() {
			if c.Ready() != nil {
				missing = append(missing, c.Name)
			}
		}
		if len(missing) == 0 {
			logger.Info("Ready")
		} else if time.Since(told) >= interval {
			logger.Info("Waiting for the API server", "host", r.rest.Host, "missing", missing)
			told = time.Now()
		}
		return len(missing) == 0, nil
	})
	return nil
}

// metrics are those of the controllers of all terms.
type metrics struct {
	leading prometheus.Gauge
	queues  *clientmetrics.WorkqueueProvider
	leases  *leases.Metrics
	table   *table.Metrics
	rings   *rings.Metrics
	labels  *labels.Metrics
}

func newMetrics(registerer, queues prometheus.Registerer) metrics {
	leading := promauto.With(registerer).NewGauge(prometheus.GaugeOpts{
		Name: "clusterring_sharder_leading",
		Help: "1 while this replica holds the sharder's Lease and runs the controllers.",
	})
	return metrics{
		leading: leading, queues: clientmetrics.NewWorkqueueProvider(queues), leases: leases.NewMetrics(registerer),
		table: table.NewMetrics(registerer), rings: rings.NewMetrics(registerer), labels: labels.NewMetrics(registerer),
	}
}
