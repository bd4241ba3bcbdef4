package testenv

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Environment variables that tests heed.
const (
	KubeconfigVar = "CLUSTERRING_KUBECONFIG" // use this existing cluster
	AssetsVar     = "KUBEBUILDER_ASSETS"     // use the programs in this directory
	KeepVar       = "CLUSTERRING_KEEP"       // not empty: keep the control plane's directory
)

// Options say what control plane a package needs. The zero value is right for most.
type Options struct {
	// CRDs are files or directories with CustomResourceDefinitions to install, relative to the root of the repository.
	// Nil means config/crd; empty means none.
	CRDs []string

	FeatureGates  map[string]bool // of kube-apiserver and kube-controller-manager
	RuntimeConfig []string        // APIs to serve, like "api/alpha=true"

	// Additional flags, with both dashes.
	EtcdArgs, APIServerArgs, ControllerManagerArgs []string

	// WithoutControllerManager starts a little faster. Namespaces are then never emptied, Deployments have no effect.
	WithoutControllerManager bool

	// Timeout for the start, without building; 0 means five minutes: it takes seconds, and longer on a busy machine.
	Timeout time.Duration
}

func (o Options) flags() []string {
	var flags []string
	if len(o.FeatureGates) > 0 {
		var gates []string
		for _, gate := range slices.Sorted(maps.Keys(o.FeatureGates)) {
			gates = append(gates, fmt.Sprintf("%s=%t", gate, o.FeatureGates[gate]))
		}
		flags = append(flags, "--feature-gates="+strings.Join(gates, ","))
	}
	if len(o.RuntimeConfig) > 0 {
		flags = append(flags, "--runtime-config="+strings.Join(o.RuntimeConfig, ","))
	}
	for _, arg := range o.EtcdArgs {
		flags = append(flags, "--etcd-arg="+arg)
	}
	for _, arg := range o.APIServerArgs {
		flags = append(flags, "--apiserver-arg="+arg)
	}
	for _, arg := range o.ControllerManagerArgs {
		flags = append(flags, "--controller-manager-arg="+arg)
	}
	if o.WithoutControllerManager {
		flags = append(flags, "--without-controller-manager")
	}
	return flags
}

// needsOwn reports whether the options ask for something that an existing cluster may not have.
func (o Options) needsOwn() bool {
	return len(o.FeatureGates)+len(o.RuntimeConfig)+len(o.EtcdArgs)+len(o.APIServerArgs)+len(o.ControllerManagerArgs) > 0
}
