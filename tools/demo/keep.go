package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/clusterring/clusterring/pkg/wire"
)

// keepRunning says how to look around, and waits until the context is done.
func (d *demo) keepRunning(ctx context.Context) error {
	another, err := d.shardArgs("shard-e")
	if err != nil {
		return err
	}
	label := wire.SlotLabel(ring)
	d.out.Chapter("Look around", "Everything goes on running until Ctrl-C is pressed here. In another terminal:")
	d.out.Lines(
		"  export KUBECONFIG="+d.path("cluster", "kubeconfig"),
		"  kubectl get clusterrings",
		"  kubectl get leases --show-labels",
		"  kubectl get foos,deployments -L "+label,
		"  kubectl get clusterring "+ring+" -o yaml",
		"  kubectl create -o yaml -f "+filepath.Join(d.opts.repo, "sample-controller", "artifacts", "foo.yaml"),
		"",
		"One more shard (Ctrl-C lets it leave):",
		"  "+strings.Join(append([]string{d.program("sample-controller")}, another...), " \\\n    "),
		"",
		"These run, and may be killed; their logs are in "+d.path("logs")+":",
	)
	for _, p := range d.programs.Processes() {
		if p.Running() {
			d.out.Lines(fmt.Sprintf("  kill -9 %-8d # %s", p.PID(), p.Name()))
		}
	}
	d.out.Lines("", fmt.Sprintf("To stop everything: Ctrl-C here, or kill %d.", os.Getpid()))
	<-ctx.Done()
	return nil
}
