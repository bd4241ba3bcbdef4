// Command sample-controller keeps a Deployment for every Foo. Its replicas share the work as the shards of a ring, or one
// of them works under leader election. It is an example to read: see README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	// After the first signal a second one ends the process the usual way, at once.
	context.AfterFunc(ctx, stop)
	logs := textlogger.NewConfig(textlogger.Output(os.Stderr))
	klog.SetLogger(textlogger.NewLogger(logs)) // what client-go logs without a context
	os.Exit(command(ctx, os.Args[1:], logs, os.Stdout, os.Stderr))
}

// command runs the program and returns its exit status.
func command(ctx context.Context, args []string, logs *textlogger.Config, stdout, stderr io.Writer) int {
	o, err := parse(args, logs, stdout)
	switch {
	case errors.Is(err, errAnswered):
		return 0
	case err != nil:
		return complain(stderr, err)
	}

	logger := textlogger.NewLogger(logs)
	err = run(klog.NewContext(ctx, logger), o)
	var wrong *flagError
	switch {
	case errors.As(err, &wrong):
		return complain(stderr, err)
	case err != nil:
		logger.Error(err, "The sample controller has ended")
		return exitFailed
	}
	logger.Info("The sample controller has ended")
	return 0
}

// complain says what is wrong with the flags.
func complain(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "%v\nSee 'sample-controller --help'.\n", err)
	return exitUsage
}
