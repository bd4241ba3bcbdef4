package shard

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	shardingv1alpha1client "github.com/clusterring/clusterring/generated/clientset/versioned/typed/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// EnvPodName, EnvPodNamespace and EnvPodUID are the environment variables that the defaults of a Config come from. A
	// pod sets them with the downward API (metadata.name, metadata.namespace and metadata.uid).
	EnvPodName      = "POD_NAME"
	EnvPodNamespace = "POD_NAMESPACE"
	EnvPodUID       = "POD_UID"

	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
)

// Config says which ring the process belongs to, and as which shard. The zero value of an optional field means its default.
type Config struct {
	// Ring is the name of the ClusterRing. Required.
	Ring string
	// RESTConfig is how to reach the API server. It is copied, never changed. Required.
	RESTConfig *rest.Config

	// Namespace is where the shard's Lease lives: the one that the ring names. Default: $POD_NAMESPACE, else the namespace
	// of the pod's service account.
	Namespace string
	// Name is the shard's, made usable by ShardName. Two rings in one process need different names. Default: $POD_NAME,
	// else the host's name.
	Name string
	// Identity is written into the Lease as its holder and must be unique among all processes. Default: the shard's name
	// with $POD_UID, else with a random part.
	Identity string
	// Weight sets the shard's share of the slots in proportion to other shards, from 1 to 1048576. Default: 1.
	Weight int

	// Healthy reports why the process cannot do its work, or nil. While it returns an error, the Lease is not renewed, so
	// others take over when it has run out, and Run returns lease.ErrLost. It is called every RetryPeriod and must not
	// block. Optional: the shard itself sees when it gets no answers about its ring or its objects, or has no right to
	// them, for four times LeaseDuration.
	Healthy func() error

	// LeaseDuration, RenewDeadline, RetryPeriod and ShutdownTimeout are those of lease.Config. Defaults: 15s, 10s, 2s, 30s.
	LeaseDuration, RenewDeadline, RetryPeriod, ShutdownTimeout time.Duration

	// Registerer takes the metrics of the shard and of its Lease. Optional.
	Registerer prometheus.Registerer
}

// withDefaults returns the config with what the environment of a pod has to say.
func (c Config) withDefaults() Config {
	if c.Namespace == "" {
		c.Namespace = os.Getenv(EnvPodNamespace)
	}
	if c.Namespace == "" {
		content, _ := os.ReadFile(namespaceFile) // not in a pod
		c.Namespace = strings.TrimSpace(string(content))
	}
	if c.Name == "" {
		c.Name = os.Getenv(EnvPodName)
	}
	if c.Name == "" {
		c.Name, _ = os.Hostname()
	}
	c.Name = ShardName(c.Name)
	if c.Identity == "" && c.Name != "" {
		c.Identity = newIdentity(c.Name, os.Getenv(EnvPodUID))
	}
	if c.Weight == 0 {
		c.Weight = 1
	}
	return c
}

// validate returns the problems that lease.New would not find.
func (c Config) validate() error {
	var errs []error
	if c.Ring == "" {
		errs = append(errs, errors.New("Ring is required"))
	} else if problems := validation.IsQualifiedName(wire.SlotLabel(c.Ring)); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("Ring %q: %s", c.Ring, strings.Join(problems, "; ")))
	}
	if c.RESTConfig == nil {
		errs = append(errs, errors.New("RESTConfig is required"))
	}
	if c.Namespace == "" {
		errs = append(errs, fmt.Errorf("Namespace is required outside of a pod: set it, or $%s", EnvPodNamespace))
	}
	if c.Name == "" {
		errs = append(errs, fmt.Errorf("Name is required, because the host has none: set it, or $%s", EnvPodName))
	}
	if c.Weight < 1 || c.Weight > ring.MaxWeight {
		errs = append(errs, fmt.Errorf("Weight %d is not between 1 and %d", c.Weight, ring.MaxWeight))
	}
	return errors.Join(errs...)
}

// leaseClient returns a client that shares neither rate limit nor connection with others. It speaks HTTP/1.1, where a
// request that timed out closes its connection: the next one is not sent into the same broken connection, as it would be
// with HTTP/2.
func leaseClient(config *rest.Config) (coordinationv1client.LeasesGetter, error) {
	config = rest.CopyConfig(config)
	config.RateLimiter, config.QPS = nil, -1
	config.NextProtos = []string{"http/1.1"}
	rest.AddUserAgent(config, "lease")
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client for the Lease: %w", err)
	}
	return client.CoordinationV1(), nil
}

// ringClient returns a client that reads rings, without a rate limit.
func ringClient(config *rest.Config) (shardingv1alpha1client.ClusterRingInterface, error) {
	config = rest.CopyConfig(config)
	config.RateLimiter, config.QPS = nil, -1
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	rest.AddUserAgent(config, "ring")
	client, err := versioned.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("client for the ring: %w", err)
	}
	return client.ShardingV1alpha1().ClusterRings(), nil
}

// leaseConfig returns the config of the shard's Lease.
func (c Config) leaseConfig(client coordinationv1client.LeasesGetter) lease.Config {
	return lease.Config{
		Client:          client,
		Namespace:       c.Namespace,
		Name:            c.Name,
		Identity:        c.Identity,
		Labels:          map[string]string{wire.LabelRing: c.Ring},
		Problem:         wire.AnnotationProblem,
		Released:        wire.AnnotationReleased,
		Duration:        c.LeaseDuration,
		RenewDeadline:   c.RenewDeadline,
		RetryPeriod:     c.RetryPeriod,
		ShutdownTimeout: c.ShutdownTimeout,
		Registerer:      c.Registerer,
	}
}
