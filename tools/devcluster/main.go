// Command devcluster runs a Kubernetes control plane for development and tests: etcd, kube-apiserver and
// kube-controller-manager, built from their Go modules into this one program, as separate processes on loopback.
//
//	devcluster up --dir DIR             run until interrupted
//	devcluster up --dir DIR --detach    return when everything is ready
//	devcluster down --dir DIR           end it
//
// The program is its own etcd, kube-apiserver and kube-controller-manager: it executes itself with the component's name
// as first argument. Nothing that it starts outlives it, however it ends.
package main

import (
	"os"

	"github.com/clusterring/clusterring/tools/devcluster/internal/process"
)

func main() {
	if len(os.Args) > 1 {
		if run, ok := components[os.Args[1]]; ok {
			process.ExitWithParent()
			// The component sees a command line as if it were a program of its own.
			os.Args = os.Args[1:]
			os.Exit(run(os.Args))
		}
	}
	os.Exit(runCommand())
}
