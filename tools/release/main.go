// Command release builds what users install: the image of the sharder, and the files of a release.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	os.Exit(runCommand(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
