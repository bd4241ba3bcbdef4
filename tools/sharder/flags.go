package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/pkg/sharder/config"
)

var errAnswered = errors.New("help or the version was asked for")

const usage = `sharder gives objects their slots, and slots to the shards of sharded controllers.

Run two or more replicas: all of them answer admission requests, one of them, elected, watches the shards and keeps the
tables. When no replica runs, API requests succeed all the same, shards keep what they have, and what was missed is picked
up later.

In a cluster, with a service account and the manifests in config/:
  sharder

On a developer's machine, reached by the API server without a Service:
  sharder --kubeconfig=$HOME/.kube/config --webhook-url=https://127.0.0.1:9443 --webhook-bind-address=127.0.0.1:9443

Settings can be in a file as well (--config); flags win over the file:
  apiVersion: ` + config.APIVersion + `
  kind: ` + config.Kind + `
  shards:
    grace: 5s

Flags:
`

// parse makes the configuration of defaults, the file and the flags, in this order. It writes help or the version to out when
// they are asked for, and returns errAnswered.
func parse(args []string, logs *textlogger.Config, out io.Writer) (config.Sharder, error) {
	cfg := config.Default()
	var file string
	fs := flags(&cfg, &file, logs)
	showVersion := fs.Bool("version", false, "print the version and exit")
	fs.SetOutput(io.Discard)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			fmt.Fprint(out, usage, fs.FlagUsagesWrapped(120))
			return cfg, errAnswered
		}
		return cfg, err
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q: sharder takes flags only", fs.Arg(0))
	}
	if *showVersion {
		fmt.Fprintln(out, versionLine())
		return cfg, errAnswered
	}
	if file != "" {
		given := map[*pflag.Flag]string{}
		fs.Visit(func(f *pflag.Flag) { given[f] = f.Value.String() })
		cfg = config.Default()
		if err := cfg.LoadFile(file); err != nil {
			return cfg, fmt.Errorf("--config: %w", err)
		}
		for f, value := range given {
			if err := f.Value.Set(value); err != nil {
				return cfg, fmt.Errorf("--%s: %w", f.Name, err)
			}
		}
	}
	if err := cfg.Validate(); err != nil {
		return cfg, fmt.Errorf("the configuration is not valid:\n%w", nameFlags(err))
	}
	return cfg, nil
}

// flagOf maps the fields of the configuration to their flags, so that an error can name both.
var flagOf = map[string]string{
	"namespace":                    "namespace",
	"client.kubeconfig":            "kubeconfig",
	"client.qps":                   "kube-api-qps",
	"client.burst":                 "kube-api-burst",
	"leaderElection.leaseName":     "leader-elect-lease-name",
	"leaderElection.leaseDuration": "leader-elect-lease-duration",
	"leaderElection.renewDeadline": "leader-elect-renew-deadline",
	"leaderElection.retryPeriod":   "leader-elect-retry-period",
	"webhook.bindAddress":          "webhook-bind-address",
	"webhook.permitPortSharing":    "permit-port-sharing",
	"webhook.url":                  "webhook-url",
	"webhook.serviceName":          "webhook-service-name",
	"webhook.servicePort":          "webhook-service-port",
	"webhook.secretName":           "webhook-secret-name",
	"webhook.certFile":             "tls-cert-file",
	"webhook.keyFile":              "tls-private-key-file",
	"webhook.caFile":               "tls-ca-file",
	"metrics.bindAddress":          "metrics-bind-address",
	"metrics.profiling":            "profiling",
	"shards.grace":                 "shard-grace",
	"labels.auditInterval":         "audit-interval",
	"labels.concurrentWrites":      "concurrent-writes",
}

// nameFlags puts the flag in front of each problem that Validate found.
func nameFlags(err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		field, _, _ := strings.Cut(line, ":")
		if name, ok := flagOf[field]; ok {
			lines[i] = "  --" + name + ", " + line
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

func flags(c *config.Sharder, file *string, logs *textlogger.Config) *pflag.FlagSet {
	fs := pflag.NewFlagSet("sharder", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.StringVar(file, "config", "", "a `file` with the configuration")
	fs.StringVar(&c.Namespace, "namespace", c.Namespace, "where the sharder runs: its Lease, Secret and Service are there, and admission leaves its objects alone (default from POD_NAMESPACE)")

	fs.StringVar(&c.Client.Kubeconfig, "kubeconfig", c.Client.Kubeconfig, "a kubeconfig `file`; none means the service account of the pod")
	fs.Float32Var(&c.Client.QPS, "kube-api-qps", c.Client.QPS, "requests per second to the API server")
	fs.IntVar(&c.Client.Burst, "kube-api-burst", c.Client.Burst, "requests that may exceed the rate for a moment")

	le := &c.LeaderElection
	fs.StringVar(&le.LeaseName, "leader-elect-lease-name", le.LeaseName, "the Lease that the controllers run under")
	fs.DurationVar(&le.LeaseDuration.Duration, "leader-elect-lease-duration", le.LeaseDuration.Duration, "how long other replicas wait before they take a silent leader's Lease, in whole seconds")
	fs.DurationVar(&le.RenewDeadline.Duration, "leader-elect-renew-deadline", le.RenewDeadline.Duration, "how long the leader tries to renew before it gives up")
	fs.DurationVar(&le.RetryPeriod.Duration, "leader-elect-retry-period", le.RetryPeriod.Duration, "the time between two tries")

	w := &c.Webhook
	fs.StringVar(&w.BindAddress, "webhook-bind-address", w.BindAddress, "where admission is served, `host:port`")
	fs.BoolVar(&w.PermitPortSharing, "permit-port-sharing", w.PermitPortSharing, "let several replicas on this host listen on the same port (SO_REUSEPORT)")
	fs.StringVar(&w.URL, "webhook-url", w.URL, "where the API server reaches admission when it is not behind a Service, `https://host:port`")
	fs.StringVar(&w.ServiceName, "webhook-service-name", w.ServiceName, "the Service in the sharder's namespace that the API server reaches admission by")
	fs.Int32Var(&w.ServicePort, "webhook-service-port", w.ServicePort, "the port of the Service")
	fs.StringVar(&w.SecretName, "webhook-secret-name", w.SecretName, "the Secret that the sharder keeps its own CA and certificate in")
	fs.StringVar(&w.CertFile, "tls-cert-file", w.CertFile, "a certificate `file` to use instead of the sharder's own, read again when it changes")
	fs.StringVar(&w.KeyFile, "tls-private-key-file", w.KeyFile, "the private key `file` of --tls-cert-file")
	fs.StringVar(&w.CAFile, "tls-ca-file", w.CAFile, "the `file` with the CA that the API server shall trust")

	fs.StringVar(&c.Metrics.BindAddress, "metrics-bind-address", c.Metrics.BindAddress, "where /metrics, /healthz, /readyz and /debug/pprof are served without TLS, `host:port`; 0 serves nothing")
	fs.BoolVar(&c.Metrics.Profiling, "profiling", c.Metrics.Profiling, "serve /debug/pprof, to the local host and port forwarding only")

	fs.DurationVar(&c.Shards.Grace.Duration, "shard-grace", c.Shards.Grace.Duration, "how long a shard's Lease may be expired before it is deleted; 0 means a third of its duration")
	a := &c.Labels
	fs.DurationVar(&a.AuditInterval.Duration, "audit-interval", a.AuditInterval.Duration, "the time between two audits of the labels of a ring")
	fs.IntVar(&a.ConcurrentWrites, "concurrent-writes", a.ConcurrentWrites, "labels that may be written at once, for each resource of a ring")

	fs.VarPF(goFlag{logs.Verbosity()}, "v", "v", "log level: 0 changes of ownership, 2 decisions, 4 debugging")
	fs.VarPF(goFlag{logs.VModule()}, "vmodule", "", "log levels for single files, comma-separated `pattern=N`")
	return fs
}

// goFlag makes a pflag.Value of a flag.Value.
type goFlag struct{ flag.Value }

func (goFlag) Type() string { return "string" }
