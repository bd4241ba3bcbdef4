// Command experiment measures how a sharded controller scales: it starts a control plane, sharders and instances of the
// webhosting operator as separate processes, generates load, and measures the results with PromQL.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/klog/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	// What client-go and Prometheus have to say about servers that come and go is no concern of the user.
	klog.SetLogger(klog.Logger{})
	os.Exit(runCommand(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
