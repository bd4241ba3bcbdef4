package sharder

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"

	ringscheme "github.com/clusterring/clusterring/generated/clientset/versioned/scheme"
	"github.com/clusterring/clusterring/pkg/sharder/admission"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
	"github.com/clusterring/clusterring/pkg/sharder/config"
)

// Sharder is a Replica as a program: with ports, certificates, health and metrics.
type Sharder struct {
	cfg          config.Sharder
	rest         *rest.Config
	registry     *prometheus.Registry
	certificates certificates.Source
	broadcaster  events.EventBroadcaster
	replica      *Replica
}

// New returns a sharder that does nothing yet. It reads the kubeconfig and certificate files, but makes no requests. Its
// metrics, and whatever else is in the registry, are served with its health.
func New(cfg config.Sharder, registry *prometheus.Registry) (*Sharder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configuration of the sharder: %w", err)
	}
	restConfig, err := clientConfig(cfg.Client)
	if err != nil {
		return nil, err
	}
	s := &Sharder{cfg: cfg, rest: restConfig, registry: registry}
	kube, err := kubernetes.NewForConfig(restConfig)
	if err != nil {
		return nil, err
	}
	known := runtime.NewScheme()
	if err := errors.Join(scheme.AddToScheme(known), ringscheme.AddToScheme(known)); err != nil {
		return nil, fmt.Errorf("scheme for events: %w", err)
	}
	s.broadcaster = events.NewBroadcaster(&events.EventSinkImpl{Interface: kube.EventsV1()})
	recorder := s.broadcaster.NewRecorder(known, "clusterring-sharder")
	if s.certificates, err = newCertificates(cfg, kube, recorder); err != nil {
		return nil, err
	}
	if err := registry.Register(expiry(s.certificates)); err != nil {
		return nil, err
	}
	s.replica, err = NewReplica(ReplicaConfig{
		Sharder: cfg, RESTConfig: restConfig, Certificates: s.certificates, Recorder: recorder, Registerer: registry,
	})
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

func newCertificates(cfg config.Sharder, kube kubernetes.Interface, recorder events.EventRecorder) (certificates.Source, error) {
	w := cfg.Webhook
	if w.CertFile != "" {
		files, err := certificates.NewFiles(certificates.FilesConfig{CertFile: w.CertFile, KeyFile: w.KeyFile, CAFile: w.CAFile})
		if err != nil {
			return nil, fmt.Errorf("--tls-cert-file, --tls-private-key-file, --tls-ca-file: %w", err)
		}
		return files, nil
	}
	hosts := []string{w.ServiceName + "." + cfg.Namespace + ".svc"}
	if w.URL != "" {
		u, err := url.Parse(w.URL)
		if err != nil {
			return nil, fmt.Errorf("--webhook-url, webhook.url: %w", err)
		}
		hosts = []string{u.Hostname()}
	}
	return certificates.NewManaged(certificates.Config{
		Client: kube, Namespace: cfg.Namespace, Name: w.SecretName, Hosts: hosts, Recorder: recorder,
	})
}

// Run works until the context ends, and returns when everything has ended. It returns an error when a part of the sharder
// cannot go on; that the API server does not answer is no such reason. It can be called once.
func (s *Sharder) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	logger.Info("Starting", "identity", hostname(), "webhook", s.cfg.Webhook.BindAddress, "apiServer", s.rest.Host)
	checks := s.replica.Checks()
	parts := []func(context.Context) error{s.certificates.Run, s.recordEvents, s.replica.Run}
	if address := s.cfg.Webhook.BindAddress; address != "0" {
		server, err := admission.NewServer(ctx, admission.ServerConfig{
			Address: address, PermitPortSharing: s.cfg.Webhook.PermitPortSharing,
			Handler: s.replica.Admission(), GetCertificate: s.certificates.GetCertificate,
		})
		if err != nil {
			return fmt.Errorf("--webhook-bind-address: %w", err)
		}
		checks = append(checks, Check{"admission", has(func() bool { return !server.Draining() }, "shutting down")})
		parts = append(parts, server.Run)
	}
	if address := s.cfg.Metrics.BindAddress; address != "0" {
		handler := observabilityHandler(s.registry, checks, s.cfg.Metrics.Profiling)
		parts = append(parts, func(ctx context.Context) error { return serveHTTP(ctx, address, handler) })
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range parts {
		g.Go(func() error { return run(ctx) })
	}
	err := g.Wait()
	logger.Info("Ended")
	return err
}

func (s *Sharder) recordEvents(ctx context.Context) error {
	if err := s.broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
		utilruntime.HandleErrorWithContext(ctx, err, "Events are not recorded")
	}
	<-ctx.Done()
	s.broadcaster.Shutdown()
	return nil
}

// Admission returns the handler behind the webhook. With a webhook.bindAddress of 0, nothing but this serves it.
func (s *Sharder) Admission() http.Handler { return s.replica.Admission() }
