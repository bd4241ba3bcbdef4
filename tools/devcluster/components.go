package main

import (
	_ "time/tzdata" // time zones of CronJobs

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of the components' own clients
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"

	"github.com/clusterring/clusterring/tools/devcluster/internal/cluster"
)

// components are the programs inside this program. Each gets its command line, with its name as first element, and
// returns the exit status.
var components = map[string]func(args []string) int{
	cluster.Etcd: func(args []string) int {
		etcdmain.Main(args)
		return 0
	},
	cluster.APIServer: func([]string) int {
		return cli.Run(apiserver.NewAPIServerCommand())
	},
	cluster.ControllerManager: func([]string) int {
		return cli.Run(controllermanager.NewControllerManagerCommand())
	},
}
