package sharder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/internal/watchwait"
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
	// RESTConfig reaches the API server. Its QPS and Burst bound the requests of the controllers; the sharder's own Lease
	// has a client of its own. It is copied. Required.
	RESTConfig *rest.Config
	// Namespace has the sharder's Lease. Objects in it belong to no ring by default. Required.
	Namespace string
	// Identity names this process in the Lease and in logs. Default: POD_NAME, or the name of the host.
	Identity string
	// LeaderElection says which Lease the controllers run under. Default: that of config.Default.
	LeaderElection config.LeaderElection
	// Webhook is where the API server reaches Admission, and Certificates has what that is served with. The caller serves
	// the one and runs the other. Required.
	Webhook      rings.Webhook
	Certificates certificates.Source
	// Grace is how long the Lease of a shard may be expired before it is deleted, a third of its duration by default.
	Grace time.Duration
	// AuditInterval is the time between two audits of a ring, and Writers how many labels of a resource may be written at
	// once. Default: those of config.Default.
	AuditInterval time.Duration
	Writers       int
	// Recorder takes events about rings. Required.
	Recorder events.EventRecorder
	// Registerer takes the metrics. Required.
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
	missed    signal       // objects that admission could not label
	contact   *contact
	metrics   metrics
	leading   atomic.Bool
}

// NewReplica returns a Replica that does nothing yet. It makes no requests.
func NewReplica(cfg ReplicaConfig) (*Replica, error) {
	if cfg.RESTConfig == nil || cfg.Namespace == "" || cfg.Certificates == nil || cfg.Recorder == nil || cfg.Registerer == nil {
		return nil, errors.New("sharder: RESTConfig, Namespace, Certificates, Recorder and Registerer are required")
	}
	cfg.withDefaults()
	r := &Replica{cfg: cfg, rest: rest.CopyConfig(cfg.RESTConfig), tracker: leases.NewTracker(nil), calls: &rings.Calls{}}
	// A watch that waits for the API server does not say that it broke, so the tracker must be told of the wait.
	r.rest.Wrap(watchwait.Wrap(func(error) { r.tracker.Interrupted() }))
	var err error
	if r.clients, err = newClients(r.rest); err != nil {
		return nil, err
	}
	if r.informers, err = newInformers(r.clients, r.tracker); err != nil {
		return nil, err
	}
	discovery := r.clients.kube.Discovery().RESTClient()
	r.contact = newContact(discovery, r.tracker.Interrupted)
	if r.resolver, err = resources.New(resources.Config{Client: discovery}); err != nil {
		return nil, err
	}
	if r.snapshots, err = snapshot.New(snapshot.Config{
		Rings: r.informers.rings, Leases: r.informers.leases, Resolver: r.resolver, Proofs: r.tracker,
		Namespaces: r.namespaces(), Namespace: cfg.Namespace, Registerer: cfg.Registerer,
	}); err != nil {
		return nil, err
	}
	if err := r.newAdmission(); err != nil {
		return nil, err
	}
	r.metrics, err = newMetrics(cfg.Registerer, &r.leading)
	return r, err
}

func (c *ReplicaConfig) withDefaults() {
	defaults := config.Default()
	if c.Identity == "" {
		c.Identity = hostname()
	}
	if c.LeaderElection == (config.LeaderElection{}) {
		c.LeaderElection = defaults.LeaderElection
	}
	if c.AuditInterval <= 0 {
		c.AuditInterval = defaults.Labels.AuditInterval.Duration
	}
	if c.Writers <= 0 {
		c.Writers = defaults.Labels.ConcurrentWrites
	}
}

// hostname names this process.
func hostname() string {
	if name := os.Getenv("POD_NAME"); name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "sharder"
	}
	return name
}

func (r *Replica) namespaces() corev1listers.NamespaceLister {
	return corev1listers.NewNamespaceLister(r.informers.namespaces.GetIndexer())
}

// Admission answers the requests that the webhooks of all rings make. It works from the start, with what is known.
func (r *Replica) Admission() http.Handler { return r.handler }

// Run works until the context ends, and returns when everything has ended. It returns an error when a part of the replica
// cannot go on; that the API server does not answer is no such reason. It can be called once.
func (r *Replica) Run(ctx context.Context) error {
	g := newGroup(ctx)
	for _, informer := range r.informers.all() {
		g.run(func(ctx context.Context) error { informer.RunWithContext(ctx); return nil })
	}
	g.run(r.resolver.Run)
	g.run(r.snapshots.Run)
	g.run(r.contact.run)
	g.run(r.logMissing)
	g.run(func(ctx context.Context) error {
		// What does not know all rings, Leases and namespaces would take objects for misplaced.
		if !cache.WaitForCacheSync(ctx.Done(), r.snapshots.Synced, r.informers.leases.HasSynced, r.informers.namespaces.HasSynced) {
			return nil
		}
		g := newGroup(ctx)
		g.run(r.watchBirths)
		g.run(r.lead)
		return g.wait()
	})
	return g.wait()
}

// A Check is what a replica needs to be of use: Ready returns what is wrong, or nil.
type Check struct {
	Name  string
	Ready func() error
}

// Checks returns what the readiness of the replica depends on.
func (r *Replica) Checks() []Check {
	return []Check{
		{"api-server", r.contact.ok},
		{"rings", has(r.snapshots.Synced, "ClusterRings and Leases have not been read yet")},
		{"namespaces", has(r.informers.namespaces.HasSynced, "namespaces have not been read yet")},
		{"certificate", has(r.cfg.Certificates.Ready, "there is no serving certificate yet")},
	}
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
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for told := time.Now(); ; {
		var missing []string
		for name, informer := range r.informers.all() {
			if !informer.HasSynced() {
				missing = append(missing, name)
			}
		}
		if !r.cfg.Certificates.Ready() {
			missing = append(missing, "certificate")
		}
		switch {
		case len(missing) == 0:
			logger.Info("Ready")
			return nil
		case time.Since(told) >= interval:
			logger.Info("Waiting for the API server", "host", r.rest.Host, "missing", missing)
			told = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// metrics are those of the controllers of all terms.
type metrics struct {
	queues *clientmetrics.WorkqueueProvider
	leases *leases.Metrics
	table  *table.Metrics
	rings  *rings.Metrics
	labels *labels.Metrics
}

func newMetrics(registerer prometheus.Registerer, leading *atomic.Bool) (m metrics, err error) {
	m.queues = clientmetrics.NewWorkqueueProvider(registerer)
	var errs [5]error
	m.leases, errs[0] = leases.NewMetrics(registerer)
	m.table, errs[1] = table.NewMetrics(registerer)
	m.rings, errs[2] = rings.NewMetrics(registerer)
	m.labels, errs[3] = labels.NewMetrics(registerer)
	errs[4] = registerer.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "clusterring_sharder_leading",
		Help: "1 while this replica holds the sharder's Lease and runs the controllers.",
	}, func() float64 {
		if leading.Load() {
			return 1
		}
		return 0
	}))
	if err := errors.Join(errs[:]...); err != nil {
		return m, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}
