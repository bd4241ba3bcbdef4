package shard

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
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

	// Namespace is where the shard's Lease lives. Default: $POD_NAMESPACE, else the namespace of the pod's service account.
	Namespace string
	// Name is the shard's, made usable by ShardName. Two rings in one process need different names. Default: $POD_NAME,
	// else the host's name.
	Name string
	// Identity is written into the Lease as its holder and must be unique among all processes. Default: the shard's name with
	// $POD_UID, else with a random part.
	Identity string

	// LeaseDuration, RenewDeadline, RetryPeriod and ShutdownTimeout are those of lease.Config. Defaults: 15s, 10s, 2s, 30s.
	LeaseDuration, RenewDeadline, RetryPeriod, ShutdownTimeout time.Duration

	// Registerer takes the metrics of the shard's Lease. Optional.
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
	return c
}

// validate returns the problems that lease.New would not find.
func (c Config) validate() error {
	var errs []error
	if c.Ring == "" {
		errs = append(errs, errors.New("Ring is required"))
	} else if problems := validation.IsQualifiedName(v1alpha1.ShardLabel(c.Ring)); len(problems) > 0 {
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
	return errors.Join(errs...)
}

// leaseConfig returns the config of the shard's Lease, with a client of its own.
func (c Config) leaseConfig() (lease.Config, error) {
	client, err := leaseClient(c.RESTConfig)
	if err != nil {
		return lease.Config{}, fmt.Errorf("client for the Lease: %w", err)
	}
	return lease.Config{
		Client:          client,
		Namespace:       c.Namespace,
		Name:            c.Name,
		Identity:        c.Identity,
		Labels:          map[string]string{v1alpha1.LabelRing: c.Ring},
		Duration:        c.LeaseDuration,
		RenewDeadline:   c.RenewDeadline,
		RetryPeriod:     c.RetryPeriod,
		ShutdownTimeout: c.ShutdownTimeout,
		Registerer:      c.Registerer,
	}, nil
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
		return nil, err
	}
	return client.CoordinationV1(), nil
}
