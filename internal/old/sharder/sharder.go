package sharder

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	coordinationinformers "k8s.io/client-go/informers/coordination/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	ringscheme "github.com/clusterring/clusterring/generated/clientset/versioned/scheme"
	ringinformers "github.com/clusterring/clusterring/generated/informers/externalversions/sharding/v1alpha1"
	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/internal/old/sharder/admission"
	"github.com/clusterring/clusterring/internal/old/sharder/leases"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/internal/old/sharder/unassigned"
	"github.com/clusterring/clusterring/internal/watchwait"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// Sharder is one replica.
type Sharder struct {
	cfg      config.Sharder
	rest     *rest.Config
	clients  *clients
	registry *prometheus.Registry
	queues   *clientmetrics.WorkqueueProvider

	rings, leases, namespaces cache.SharedIndexInformer
	resolver                  *resources.Resolver
	snapshots                 *snapshot.Cache
	handler                   *admission.Handler
	tracker                   *leases.Tracker
	certificates              certificates.Source
	broadcaster               events.EventBroadcaster
	recorder                  events.EventRecorder
	term                      *term
	writes                    *relabel.Metrics
	unassigned                *unassigned.Controller
	contact                   *contact
	controllers               *controllers
}

// New returns a replica that does nothing yet. It reads the kubeconfig and certificate files, but makes no requests. Its
// metrics, and whatever else is in the registry, are served with its health.
func New(cfg config.Sharder, registry *prometheus.Registry) (*Sharder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuration of the sharder: %w", err)
	}
	restConfig, err := clientConfig(cfg.Client)
	if err != nil {
		return nil, err
	}
	s := &Sharder{cfg: cfg, rest: restConfig, registry: registry, term: newTerm(), tracker: leases.NewTracker(nil)}
	// A watch that waits for the API server does not say that it broke, so the tracker must be told of the wait.
	s.rest.Wrap(watchwait.Wrap(func(error) { s.tracker.Interrupted() }))
	if err := registry.Register(s.term.leading); err != nil {
		return nil, err
	}
	s.queues = clientmetrics.NewWorkqueueProvider(s.registry)
	if s.clients, err = newClients(restConfig); err != nil {
		return nil, err
	}
	if err := s.newInformers(); err != nil {
		return nil, err
	}
	s.contact = newContact(s.clients.kube.Discovery().RESTClient(), s.tracker.Interrupted)
	if err := s.newRecorder(); err != nil {
		return nil, err
	}
	if s.resolver, err = resources.New(resources.Config{Client: s.clients.kube.Discovery().RESTClient()}); err != nil {
		return nil, err
	}
	if s.snapshots, err = snapshot.New(snapshot.Config{
		Rings: s.rings, Leases: s.leases, Resolver: s.resolver, Registerer: s.registry,
	}); err != nil {
		return nil, err
	}
	if s.handler, err = admission.New(admission.Config{Rings: s.snapshots, Registerer: s.registry}); err != nil {
		return nil, err
	}
	if s.certificates, err = s.newCertificates(); err != nil {
		return nil, err
	}
	if err := registry.Register(expiry(s.certificates)); err != nil {
		return nil, err
	}
	if s.writes, err = relabel.NewMetrics(s.registry); err != nil {
		return nil, err
	}
	s.snapshots.Subscribe(func(ring string) {
		if _, ok := s.snapshots.Get(ring); ok {
			s.writes.Begin(ring)
		}
	})
	// Watches for unassigned objects run in every replica, so their writes are not fenced. The two controllers need each
	// other, so the one is told of the other when both are there.
	if s.unassigned, err = unassigned.New(unassigned.Config{
		Metadata: s.clients.metadata, Rings: s.snapshots,
		Namespaces: corev1listers.NewNamespaceLister(s.namespaces.GetIndexer()), Namespace: s.cfg.Namespace,
		Metrics: s.writes, Leading: s.term.leads, Registerer: s.registry,
		Healed: func(ring string) { s.controllers.assignment.AuditSoon(ring) },
	}); err != nil {
		return nil, err
	}
	if s.controllers, err = s.newControllers(); err != nil {
		return nil, err
	}
	_, err = s.namespaces.AddEventHandler(cache.ResourceEventHandlerFuncs{UpdateFunc: func(before, after any) {
		if !maps.Equal(before.(*corev1.Namespace).Labels, after.(*corev1.Namespace).Labels) {
			s.controllers.assignment.NamespacesChanged()
		}
	}})
	return s, err
}

func clientConfig(c config.Client) (*rest.Config, error) {
	var restConfig *rest.Config
	var err error
	if c.RESTConfig != nil {
		restConfig = rest.CopyConfig(c.RESTConfig)
	} else if c.Kubeconfig == "" {
		if restConfig, err = rest.InClusterConfig(); err != nil {
			return nil, fmt.Errorf("--kubeconfig, client.kubeconfig: not given, and this is no pod with a service account: %w", err)
		}
	} else if restConfig, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return nil, fmt.Errorf("--kubeconfig, client.kubeconfig: %w", err)
	}
	restConfig.QPS, restConfig.Burst = c.QPS, c.Burst
	return rest.AddUserAgent(restConfig, "clusterring-sharder"), nil
}

func (s *Sharder) newInformers() error {
	s.rings = ringinformers.NewClusterRingInformer(s.clients.ring, 0, cache.Indexers{})
	s.leases = coordinationinformers.NewFilteredLeaseInformer(s.clients.kube, metav1.NamespaceAll, 0, cache.Indexers{},
		func(o *metav1.ListOptions) { o.LabelSelector = v1alpha1.LabelRing })
	s.namespaces = coreinformers.NewNamespaceInformer(s.clients.kube, 0, cache.Indexers{})
	// Only their labels matter.
	if err := s.namespaces.SetTransform(func(obj any) (any, error) {
		if ns, ok := obj.(*corev1.Namespace); ok {
			return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				Name: ns.Name, UID: ns.UID, ResourceVersion: ns.ResourceVersion, Labels: ns.Labels,
			}}, nil
		}
		return obj, nil
	}); err != nil {
		return err
	}

	if _, err := s.leases.AddEventHandler(s.tracker.Handler()); err != nil {
		return err
	}
	return s.leases.SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		s.tracker.Interrupted()
		cache.DefaultWatchErrorHandler(ctx, r, err)
	})
}

func (s *Sharder) newRecorder() error {
	known := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(known), ringscheme.AddToScheme(known)); err != nil {
		return fmt.Errorf("scheme for events: %w", err)
	}
	s.broadcaster = events.NewBroadcaster(&events.EventSinkImpl{Interface: s.clients.kube.EventsV1()})
	s.recorder = s.broadcaster.NewRecorder(known, "clusterring-sharder")
	return nil
}

func (s *Sharder) newCertificates() (certificates.Source, error) {
	w := s.cfg.Webhook
	if w.CertFile != "" {
		files, err := certificates.NewFiles(certificates.FilesConfig{CertFile: w.CertFile, KeyFile: w.KeyFile, CAFile: w.CAFile})
		if err != nil {
			return nil, fmt.Errorf("--tls-cert-file, --tls-private-key-file, --tls-ca-file: %w", err)
		}
		return files, nil
	}
	hosts := []string{w.ServiceName + "." + s.cfg.Namespace + ".svc"}
	if w.URL != "" {
		u, err := url.Parse(w.URL)
		if err != nil {
			return nil, fmt.Errorf("--webhook-url, webhook.url: %w", err)
		}
		hosts = []string{u.Hostname()}
	}
	return certificates.NewManaged(certificates.Config{
		Client: s.clients.kube, Namespace: s.cfg.Namespace, Name: w.SecretName, Hosts: hosts, Recorder: s.recorder,
	})
}

// Run works until the context ends, and returns when everything has ended. It returns an error when a part of the replica
// cannot go on; that the API server does not answer is no such reason. It can be called once.
func (s *Sharder) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	logger.Info("Starting", "identity", hostname(), "webhook", s.cfg.Webhook.BindAddress, "apiServer", s.rest.Host)
	g := newGroup(ctx)
	var server *admission.Server
	if address := s.cfg.Webhook.BindAddress; address != "0" {
		var err error
		if server, err = admission.NewServer(ctx, admission.ServerConfig{
			Address: address, PermitPortSharing: s.cfg.Webhook.PermitPortSharing,
			Handler: s.handler, GetCertificate: s.certificates.GetCertificate,
		}); err != nil {
			return errors.Join(fmt.Errorf("--webhook-bind-address: %w", err), g.stop())
		}
		g.run(server.Run)
	}
	if address := s.cfg.Metrics.BindAddress; address != "0" {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return errors.Join(fmt.Errorf("--metrics-bind-address: %w", err), g.stop())
		}
		observability := observabilityHandler(s.registry, s.checks(server), s.cfg.Metrics.Profiling)
		g.run(func(ctx context.Context) error { return serveHTTP(ctx, listener, observability) })
	}
	for _, informer := range []cache.SharedIndexInformer{s.rings, s.leases, s.namespaces} {
		g.run(func(ctx context.Context) error { informer.RunWithContext(ctx); return nil })
	}
	g.run(s.resolver.Run)
	g.run(s.snapshots.Run)
	g.run(s.certificates.Run)
	g.run(s.sayWhatIsMissing)
	g.run(s.contact.run)
	g.run(func(ctx context.Context) error {
		if err := s.broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			utilruntime.HandleErrorWithContext(ctx, err, "Events are not recorded")
		}
		<-ctx.Done()
		s.broadcaster.Shutdown()
		return nil
	})
	g.run(func(ctx context.Context) error {
		if !cache.WaitForCacheSync(ctx.Done(), s.snapshots.Synced, s.namespaces.HasSynced) {
			return nil
		}
		return s.unassigned.Run(ctx)
	})
	g.run(s.lead)
	err := g.wait()
	logger.Info("Ended")
	return err
}

// Admission returns the handler behind the webhook. With a webhook.bindAddress of 0, nothing but this serves it.
func (s *Sharder) Admission() http.Handler { return s.handler }

// checks are what the replica needs to be of use. The server may be nil.
func (s *Sharder) checks(server *admission.Server) []check {
	has := func(ok func() bool, problem string) func() error {
		return func() error {
			if ok() {
				return nil
			}
			return errors.New(problem)
		}
	}
	return []check{
		{"api-server", s.contact.ok},
		{"rings", has(s.snapshots.Synced, "ClusterRings and Leases have not been read yet")},
		{"namespaces", has(s.namespaces.HasSynced, "namespaces have not been read yet")},
		{"certificate", has(s.certificates.Ready, "there is no serving certificate yet")},
		{"admission", has(func() bool { return server == nil || !server.Draining() }, "shutting down")},
	}
}

// sayWhatIsMissing logs now and then what the replica waits for, because an API server that does not answer is otherwise
// only told of by client-go, and says when there is nothing left to wait for.
func (s *Sharder) sayWhatIsMissing(ctx context.Context) error {
	const interval = 5 * time.Second
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for said := time.Now(); ; {
		missing := s.missing()
		switch {
		case len(missing) == 0:
			logger.Info("Ready")
			return nil
		case time.Since(said) >= interval:
			logger.Info("Waiting for the API server", "host", s.rest.Host, "missing", missing)
			said = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// missing names what has not come from the API server yet.
func (s *Sharder) missing() []string {
	var missing []string
	for _, needed := range []struct {
		name  string
		ready func() bool
	}{
		{"clusterrings", s.rings.HasSynced}, {"leases", s.leases.HasSynced}, {"namespaces", s.namespaces.HasSynced},
		{"certificate", s.certificates.Ready},
	} {
		if !needed.ready() {
			missing = append(missing, needed.name)
		}
	}
	return missing
}

// hostname names this replica in the Lease and in logs.
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

// group runs functions until the context ends or one of them returns an error.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

func (g *group) run(f func(ctx context.Context) error) {
	g.wg.Go(func() {
		if err := f(g.ctx); err != nil {
			g.cancel(err)
		}
	})
}

func (g *group) stop() error {
	g.cancel(nil)
	return g.wait()
}

// wait returns when all functions have, with the first error.
func (g *group) wait() error {
	g.wg.Wait()
	if err := context.Cause(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
