// Package config holds the configuration of the sharder: its defaults, the file that it is read from, and what is wrong
// with it. Names and meanings of the fields are those of the file; the program adds a flag for each.
package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// APIVersion and Kind identify a configuration file.
const (
	APIVersion = "config.sharding.clusterring.dev/v1alpha1"
	Kind       = "SharderConfiguration"
)

// Sharder is the configuration of one replica. All replicas of a cluster should have the same.
type Sharder struct {
	metav1.TypeMeta `json:",inline"`

	// Namespace is where the sharder runs: its Lease, its Secret and its Service are there, and admission leaves the
	// objects in it alone.
	Namespace string `json:"namespace"`

	Client         Client         `json:"client"`
	LeaderElection LeaderElection `json:"leaderElection"`
	Webhook        Webhook        `json:"webhook"`
	Metrics        Metrics        `json:"metrics"`
	Shards         Shards         `json:"shards"`
	Labels         Labels         `json:"labels"`
}

// Client is about the connection to the API server.
type Client struct {
	// Kubeconfig is a file. Empty means the service account of the pod.
	Kubeconfig string `json:"kubeconfig"`
	// RESTConfig is used instead of a kubeconfig where the sharder is part of another program. It is copied.
	RESTConfig *rest.Config `json:"-"`
	// QPS and Burst bound the requests of the controllers, in requests per second. The sharder's own Lease has a client
	// of its own, so a low limit delays moves but costs no leadership.
	QPS   float32 `json:"qps"`
	Burst int     `json:"burst"`
}

// LeaderElection is about the Lease that the controllers run under. Admission is served by every replica.
type LeaderElection struct {
	LeaseName     string          `json:"leaseName"`
	LeaseDuration metav1.Duration `json:"leaseDuration"`
	RenewDeadline metav1.Duration `json:"renewDeadline"`
	RetryPeriod   metav1.Duration `json:"retryPeriod"`
}

// Webhook is about admission.
type Webhook struct {
	// BindAddress is an address, or 0 to serve nothing: the replica then runs the controllers only.
	BindAddress string `json:"bindAddress"`
	// PermitPortSharing lets several replicas on one host listen on the same port (SO_REUSEPORT).
	PermitPortSharing bool `json:"permitPortSharing"`
	// URL is where the API server reaches the webhook when it is not behind a Service, without path.
	URL string `json:"url"`
	// ServiceName and ServicePort are used when URL is empty.
	ServiceName string `json:"serviceName"`
	ServicePort int32  `json:"servicePort"`
	// SecretName is the Secret that the sharder keeps its own certificates in.
	SecretName string `json:"secretName"`
	// CertFile, KeyFile and CAFile replace the sharder's own certificates. They are read again when they change.
	CertFile string `json:"certFile"`
	KeyFile  string `json:"keyFile"`
	CAFile   string `json:"caFile"`
}

// Metrics is about the plain HTTP server for /metrics, /healthz, /readyz and /debug/pprof.
type Metrics struct {
	// BindAddress is an address, or 0 to serve nothing.
	BindAddress string `json:"bindAddress"`
	// Profiling serves /debug/pprof, to the local host only, which includes port forwarding.
	Profiling bool `json:"profiling"`
}

// Shards is about their Leases.
type Shards struct {
	// Grace is how long a Lease may be expired before the sharder deletes it. Zero means a third of the Lease's duration.
	Grace metav1.Duration `json:"grace"`
}

// Labels is about the labels of objects.
type Labels struct {
	// AuditInterval is the time between two audits of a ring, unless something asks for one earlier.
	AuditInterval metav1.Duration `json:"auditInterval"`
	// ConcurrentWrites is how many labels may be written at once, for each resource of a ring.
	ConcurrentWrites int `json:"concurrentWrites"`
}

// Default returns the configuration that holds when nothing is said.
func Default() Sharder {
	namespace := os.Getenv("POD_NAMESPACE")
	if namespace == "" {
		namespace = "clusterring-system"
	}
	duration := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	return Sharder{
		TypeMeta:  metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind},
		Namespace: namespace,
		Client:    Client{QPS: 1000, Burst: 2000},
		LeaderElection: LeaderElection{
			LeaseName:     "sharder",
			LeaseDuration: duration(15 * time.Second),
			RenewDeadline: duration(10 * time.Second),
			RetryPeriod:   duration(2 * time.Second),
		},
		Webhook: Webhook{
			BindAddress: ":9443",
			ServiceName: "sharder",
			ServicePort: 443,
			SecretName:  "sharder-certificates",
		},
		Metrics: Metrics{BindAddress: ":8080", Profiling: true},
		Labels: Labels{
			AuditInterval:    duration(5 * time.Minute),
			ConcurrentWrites: 16,
		},
	}
}

// LoadFile reads the file over what c holds: fields that the file does not name stay as they are. Unknown and repeated
// fields are errors.
func (c *Sharder) LoadFile(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(data, &kind); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	if kind.APIVersion != APIVersion || kind.Kind != Kind {
		return fmt.Errorf("configuration %s: it must begin with apiVersion: %s and kind: %s, but has apiVersion: %q and kind: %q",
			path, APIVersion, Kind, kind.APIVersion, kind.Kind)
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	strict, err := json.UnmarshalStrict(asJSON, c)
	if err = errors.Join(append(strict, err)...); err != nil {
		return fmt.Errorf("configuration %s: %w", path, err)
	}
	return nil
}

const (
	// maxLeaseDuration is what fits into the seconds of a Lease.
	maxLeaseDuration = math.MaxInt32 * time.Second
	// maxAuditInterval is as good as never, and leaves room to calculate with.
	maxAuditInterval = 365 * 24 * time.Hour
)

// Validate returns all that is wrong, each problem on a line that begins with the field that it is about.
func (c *Sharder) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		problem := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", `\n`) // There may be some in the value.
		errs = append(errs, fmt.Errorf("%s: %s", field, problem))
	}
	for field, value := range map[string]string{
		"namespace":                c.Namespace,
		"leaderElection.leaseName": c.LeaderElection.LeaseName,
	} {
		if msgs := validation.IsDNS1123Label(value); len(msgs) > 0 {
			bad(field, "%q is no valid name: %s", value, msgs[0])
		}
	}
	if qps := float64(c.Client.QPS); math.IsNaN(qps) || math.IsInf(qps, 0) || qps <= 0 {
		bad("client.qps", "must be a number above 0, is %g", c.Client.QPS)
	}
	if c.Client.Burst < 1 {
		bad("client.burst", "must be at least 1, is %d", c.Client.Burst)
	}

	le := c.LeaderElection
	if d := le.LeaseDuration.Duration; d < time.Second || d > maxLeaseDuration || d%time.Second != 0 {
		bad("leaderElection.leaseDuration", "must be whole seconds, between 1s and %s, is %s", maxLeaseDuration, d)
	}
	if le.RenewDeadline.Duration >= le.LeaseDuration.Duration {
		bad("leaderElection.renewDeadline", "must be shorter than leaseDuration (%s), is %s", le.LeaseDuration.Duration, le.RenewDeadline.Duration)
	}
	if le.RetryPeriod.Duration <= 0 || float64(le.RenewDeadline.Duration) <= 1.2*float64(le.RetryPeriod.Duration) {
		bad("leaderElection.retryPeriod", "must be more than 0 and less than renewDeadline/1.2 (%s), is %s",
			time.Duration(float64(le.RenewDeadline.Duration)/1.2), le.RetryPeriod.Duration)
	}

	c.validateWebhook(bad)

	if c.Metrics.BindAddress != "0" {
		validateAddress(bad, "metrics.bindAddress", c.Metrics.BindAddress)
	}
	if c.Shards.Grace.Duration < 0 {
		bad("shards.grace", "must not be negative, is %s", c.Shards.Grace.Duration)
	}
	if d := c.Labels.AuditInterval.Duration; d < time.Second || d > maxAuditInterval {
		bad("labels.auditInterval", "must be between 1s and %s, is %s", maxAuditInterval, d)
	}
	if n := c.Labels.ConcurrentWrites; n < 1 || n > 1000 {
		bad("labels.concurrentWrites", "must be between 1 and 1000, is %d", n)
	}
	return errors.Join(errs...)
}

func (c *Sharder) validateWebhook(bad func(field, format string, args ...any)) {
	w := c.Webhook
	if w.BindAddress != "0" {
		validateAddress(bad, "webhook.bindAddress", w.BindAddress)
	}
	if w.URL != "" {
		u, err := url.Parse(w.URL)
		switch {
		case err != nil:
			bad("webhook.url", "%v", err)
		case u.Scheme != "https" || u.Hostname() == "":
			bad("webhook.url", "must be https://host:port, is %q", w.URL)
		case (u.Path != "" && u.Path != "/") || strings.ContainsAny(w.URL, "?#") || u.User != nil:
			bad("webhook.url", "must have no path, query, fragment or user: the sharder adds the path of each ring; is %q", w.URL)
		}
	} else {
		if msgs := validation.IsDNS1035Label(w.ServiceName); len(msgs) > 0 {
			bad("webhook.serviceName", "%q is no valid name of a Service: %s", w.ServiceName, msgs[0])
		}
		if w.ServicePort < 1 || w.ServicePort > 65535 {
			bad("webhook.servicePort", "must be between 1 and 65535, is %d", w.ServicePort)
		}
	}

	files := map[string]string{"webhook.certFile": w.CertFile, "webhook.keyFile": w.KeyFile, "webhook.caFile": w.CAFile}
	if w.CertFile == "" && w.KeyFile == "" && w.CAFile == "" {
		if msgs := validation.IsDNS1123Subdomain(w.SecretName); len(msgs) > 0 {
			bad("webhook.secretName", "%q is no valid name: %s", w.SecretName, msgs[0])
		}
		return
	}
	for field, path := range files {
		if path == "" {
			bad(field, "is missing: certFile, keyFile and caFile go together")
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			bad(field, "%v", err)
			continue
		}
		f.Close()
	}
}

func validateAddress(bad func(field, format string, args ...any), field, address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		bad(field, "must be host:port, is %q: %v", address, err)
		return
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n < 0 {
		bad(field, "%q is no port", port)
	}
	if host != "" && net.ParseIP(host) == nil && host != "localhost" {
		bad(field, "%q is no IP address of this host", host)
	}
}
