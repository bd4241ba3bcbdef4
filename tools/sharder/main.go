// Command sharder gives objects their slots, and slots to the shards of sharded controllers. One installation serves all rings
// of a cluster; any number of replicas may run.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/internal/clientmetrics"
	"github.com/clusterring/clusterring/pkg/sharder"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run(os.Args[1:]))
}

func run(args []string) int {
	logs := textlogger.NewConfig(textlogger.Output(os.Stderr))
	cfg, err := parse(args, logs, os.Stdout)
	switch {
	case errors.Is(err, errAnswered):
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "%v\nSee 'sharder --help'.\n", err)
		return exitUsage
	}

	logger := textlogger.NewLogger(logs)
	klog.SetLogger(logger) // what client-go logs without a context
	ctx, stop := signal.NotifyContext(klog.NewContext(context.Background(), logger), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// After the first signal a second one ends the process the usual way, at once.
	context.AfterFunc(ctx, stop)

	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsMemory)), // what memory is used for
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	clientmetrics.RegisterREST(registry)
	s, err := sharder.New(cfg, registry)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v\n", err)
		return exitUsage
	}
	if err := s.Run(ctx); err != nil {
		logger.Error(err, "The sharder has ended")
		return exitFailed
	}
	return 0
}
