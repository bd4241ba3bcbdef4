package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/examples/webhosting/internal/website"
)

// errAnswered means that the flags asked for something that has been printed, and for nothing else.
var errAnswered = errors.New("answered")

// A flagError says that the value of a flag cannot be used, as it turned out.
type flagError struct {
	flag string
	err  error
}

func (e *flagError) Error() string { return "--" + e.flag + ": " + e.err.Error() }
func (e *flagError) Unwrap() error { return e.err }

const usage = `webhosting-operator serves a web page for every Website, in the Theme that the Website names.

Its replicas share the work in one of two setups:
  ring       Every replica works on its own part of the Websites. Needs a ClusterRing and the sharder of this project.
  singleton  One replica, elected, works on all Websites. The others wait to take over.

On a developer's machine, as two shards. Names are the pod's, or the host's, unless they are given:
  webhosting-operator --kubeconfig=$HOME/.kube/config --shard-namespace=default --shard-name=web-0 --metrics-bind-address=127.0.0.1:8080
  webhosting-operator --kubeconfig=$HOME/.kube/config --shard-namespace=default --shard-name=web-1 --metrics-bind-address=127.0.0.1:8081

SIGTERM ends it: work that has begun is abandoned or finished, then the Lease is released. Exit status: 0 after a signal, 1 after
an error, such as a lost Lease, 2 for wrong flags.

Flags:
`

// The setups.
const (
	setupRing      = "ring"
	setupSingleton = "singleton"
)

const (
	// electionName is the name of the Lease of the leader.
	electionName = website.Component
	// shardWorkers and singletonWorkers are how many Websites are worked on at the same time unless --workers says so.
	shardWorkers     = 15
	singletonWorkers = 50
)

// options are the flags.
type options struct {
	kubeconfig string
	qps        float32
	burst      int
	namespace  string
	workers    int

	setup          string
	ring           string
	shardName      string
	shardNamespace string
	leaseDuration  time.Duration
	renewDeadline  time.Duration
	retryPeriod    time.Duration

	metricsBindAddress string
	record             string
}

// parse makes options of the arguments. The error names every flag that is wrong.
func parse(args []string, logs *textlogger.Config, stdout io.Writer) (*options, error) {
	o := &options{}
	fs := o.flags(logs)
	version := fs.Bool("version", false, "print the version and exit")
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stdout, usage, fs.FlagUsagesWrapped(120))
		return nil, errAnswered
	case err != nil:
		return nil, err
	case fs.NArg() > 0:
		return nil, fmt.Errorf("unexpected argument %q: webhosting-operator takes flags only", fs.Arg(0))
	case *version:
		fmt.Fprintln(stdout, "webhosting-operator", buildVersion())
		return nil, errAnswered
	}
	o.complete(fs.Changed("workers"))
	return o, o.validate()
}

func (o *options) flags(logs *textlogger.Config) *pflag.FlagSet {
	fs := pflag.NewFlagSet("webhosting-operator", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.StringVar(&o.setup, "setup", setupRing, "how replicas share the work: ring or singleton")
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "a kubeconfig `file`; none means $KUBECONFIG, or the service account of the pod")
	fs.Float32Var(&o.qps, "kube-api-qps", 1000, "requests per second to the API server")
	fs.IntVar(&o.burst, "kube-api-burst", 2000, "requests that may exceed the rate for a moment")
	fs.StringVar(&o.namespace, "namespace", "", "work on the Websites in this namespace only; none means all")
	fs.IntVar(&o.workers, "workers", 0, fmt.Sprintf("Websites that are worked on at the same time (default %d, %d for a singleton)", shardWorkers, singletonWorkers))

	fs.StringVar(&o.ring, "ring", "webhosting", "the ClusterRing that this replica is a shard of")
	fs.StringVar(&o.shardName, "shard-name", os.Getenv("POD_NAME"), "the `name` of the shard and of its Lease; by default $POD_NAME, or the host's name")
	fs.StringVar(&o.shardNamespace, "shard-namespace", os.Getenv("POD_NAMESPACE"), "the `namespace` of the Lease; by default $POD_NAMESPACE, or that of the pod's service account")
	fs.DurationVar(&o.leaseDuration, "lease-duration", 15*time.Second, "how long others wait before they take a silent holder's Lease, in whole seconds")
	fs.DurationVar(&o.renewDeadline, "lease-renew-deadline", 0, "how long renewing the Lease may fail before the work is stopped (default two thirds of the duration)")
	fs.DurationVar(&o.retryPeriod, "lease-retry-period", 0, "the time between two renewals (default a fifth of the renew deadline)")

	fs.StringVar(&o.metricsBindAddress, "metrics-bind-address", ":8080", "where /metrics, /healthz and /readyz are served, and /debug/pprof to the local host, `host:port`; 0 serves nothing")
	fs.StringVar(&o.record, "record", "", "append to this `file` when work on a Website begins and when it ends")

	fs.VarPF(goFlag{logs.Verbosity()}, "v", "v", "log level: 0 changes of ownership, 2 decisions, 4 debugging")
	fs.VarPF(goFlag{logs.VModule()}, "vmodule", "", "log levels for single files, comma-separated `pattern=N`")
	return fs
}

// complete fills in the defaults that depend on other flags or on the surroundings.
func (o *options) complete(workersGiven bool) {
	if !workersGiven {
		o.workers = shardWorkers
		if o.setup == setupSingleton {
			o.workers = singletonWorkers
		}
	}
	if o.renewDeadline == 0 {
		o.renewDeadline = o.leaseDuration * 2 / 3
	}
	if o.retryPeriod == 0 {
		o.retryPeriod = o.renewDeadline / 5
	}
	if o.shardName == "" {
		o.shardName, _ = os.Hostname() // validate says so if there is none
	}
	if o.shardNamespace == "" {
		in, _ := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace") // not in a pod
		o.shardNamespace = strings.TrimSpace(string(in))
	}
}

func (o *options) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	setups := []string{setupRing, setupSingleton}
	check(slices.Contains(setups, o.setup), "--setup must be one of %s, not %q", strings.Join(setups, ", "), o.setup)
	check(o.qps > 0, "--kube-api-qps must be positive, not %v", o.qps)
	check(o.burst > 0, "--kube-api-burst must be positive, not %d", o.burst)
	check(o.workers > 0, "--workers must be positive, not %d", o.workers)
	if o.setup != setupSingleton {
		problems := content.IsDNS1123Subdomain(o.ring)
		check(len(o.ring) <= content.LabelValueMaxLength, "--ring: the name of a ClusterRing has at most %d characters", content.LabelValueMaxLength)
		check(len(problems) == 0, "--ring %q is no name of a ClusterRing: %s", o.ring, strings.Join(problems, "; "))
	}
	check(o.shardName != "", "--shard-name is required, because the host has no name")
	check(o.shardNamespace != "", "--shard-namespace is required outside of a pod (or set $POD_NAMESPACE)")
	check(o.leaseDuration >= time.Second, "--lease-duration must be at least 1s, not %s", o.leaseDuration)
	check(o.renewDeadline > 0 && o.renewDeadline < o.leaseDuration,
		"--lease-renew-deadline must be positive and shorter than --lease-duration (%s), not %s", o.leaseDuration, o.renewDeadline)
	check(o.retryPeriod > 0 && o.retryPeriod*6/5 < o.renewDeadline,
		"--lease-retry-period, with 20%% of jitter, must be positive and shorter than --lease-renew-deadline (%s), not %s", o.renewDeadline, o.retryPeriod)
	return errors.Join(errs...)
}

// restConfig says how to reach the API server.
func (o *options) restConfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, &flagError{"kubeconfig", err}
	}
	config.QPS, config.Burst = o.qps, o.burst
	return rest.AddUserAgent(config, website.Component), nil
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// goFlag makes a pflag.Value of a flag.Value.
type goFlag struct{ flag.Value }

func (goFlag) Type() string { return "string" }
