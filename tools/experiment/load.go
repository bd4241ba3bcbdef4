package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

const loadLong = `Create, change and delete Websites at given rates, and measure how long it takes until they are reconciled.

'experiment run' starts this as a process of its own. Rates are numbers of operations per second, or change over time:
0s=1,1m=10,2m=0 rises from 1 to 10 in the first minute and falls to 0 in the second one.

It serves /metrics, /readyz (200 once the load has begun), /status (JSON) and POST /stop, which ends the load early. When the
load is over it goes on watching, until it is ended by a signal.`

type loadOptions struct {
	kubeconfig, namespace, listen string
	create, delete, mutate        string
	duration                      time.Duration
	themes                        []string
	seed                          uint64
	idle, inFlight                int
}

func newLoadCommand() *cobra.Command {
	o := &loadOptions{}
	cmd := &cobra.Command{Use: "load", Short: "Generate load on Websites", Long: loadLong, Args: noArgs}
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&o.kubeconfig, "kubeconfig", "", "a kubeconfig `file`")
	fs.StringVar(&o.namespace, "namespace", "default", "where the Websites are")
	fs.StringVar(&o.create, "create", "", "Websites that are created per second")
	fs.StringVar(&o.delete, "delete", "", "Websites that are deleted per second, at random")
	fs.StringVar(&o.mutate, "mutate", "", "how often each Website gets another theme, per second")
	fs.DurationVar(&o.duration, "duration", time.Minute, "how long there is load")
	fs.StringSliceVar(&o.themes, "themes", nil, "Themes that Websites have, two at least")
	fs.Uint64Var(&o.seed, "seed", 1, "decides all random choices")
	fs.IntVar(&o.idle, "idle", 0, "Websites that are created before the load begins, and then left alone")
	fs.IntVar(&o.inFlight, "in-flight", 0, "how many requests of each kind may be under way (default 100)")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8080", "where metrics and the status are served, `host:port`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) }
	return cmd
}

func (o *loadOptions) run(ctx context.Context) error {
	cfg := load.Config{
		Namespace: o.namespace, Themes: o.themes, Seed: o.seed, Idle: o.idle, InFlight: o.inFlight, Load: scenario.Load{Duration: o.duration},
	}
	var errs []error
	for _, rate := range []struct {
		flag, text string
		to         *scenario.Profile
	}{{"create", o.create, &cfg.Load.Create}, {"delete", o.delete, &cfg.Load.Delete}, {"mutate", o.mutate, &cfg.Load.Mutate}} {
		var err error
		if *rate.to, err = scenario.ParseProfile(rate.text); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", rate.flag, err))
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", o.kubeconfig)
	if err != nil {
		errs = append(errs, fmt.Errorf("--kubeconfig: %w", err))
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	config.QPS = -1 // the load is what was asked for, not what a client thinks it should be
	if cfg.Client, err = versioned.NewForConfig(config); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsMemory)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	cfg.Registerer = registry
	l, err := load.New(cfg)
	if err != nil {
		return usageError{err}
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return usageError{fmt.Errorf("--listen: %w", err)}
	}
	server := &http.Server{Handler: loadHandler(l, registry), ReadHeaderTimeout: 10 * time.Second}
	defer server.Close()
	go func() { _ = server.Serve(listener) }() // ends with Close
	return l.Run(ctx)
}

func loadHandler(l *load.Load, registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-l.Ready():
		default:
			http.Error(w, "the load has not begun", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(l.Status()) })
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { l.Stop() })
	return mux
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q", args[0])}
	}
	return nil
}
