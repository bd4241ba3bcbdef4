// Package cli is what the commands of the plugin share: flags, clients, output, and errors that say what to do.
package cli

import (
	"fmt"
	"os"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
)

// Options are the flags and streams that all commands share.
type Options struct {
	genericiooptions.IOStreams
	// Getter leads to the cluster.
	Getter genericclioptions.RESTClientGetter
	// Output is table, json or yaml.
	Output string
	// Color reports whether escape codes may be written to Out. It is set before a command runs.
	Color bool
	// Terminal reports whether Out is a terminal, with or without colours.
	Terminal bool
}

// New returns the options of a process: its kubeconfig, and colours if it writes to a terminal.
func New(streams genericiooptions.IOStreams) *Options {
	flags := genericclioptions.NewConfigFlags(true)
	// What hardly anybody gives on a command line.
	flags.CertFile, flags.KeyFile, flags.CAFile, flags.TLSServerName, flags.Username, flags.Password = nil, nil, nil, nil, nil, nil
	flags.DisableCompression = nil
	return &Options{
		IOStreams: streams, Getter: flags,
		Terminal: isTerminal(streams.Out), Color: isTerminal(streams.Out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

// Clients are clients of one cluster.
type Clients struct {
	Config   *rest.Config
	Kube     kubernetes.Interface
	Rings    versioned.Interface
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
}

// Clients returns clients of the cluster that the flags name.
func (o *Options) Clients() (*Clients, error) {
	config, err := o.Getter.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("%w\nChoose a cluster with --kubeconfig, --context, or the variable KUBECONFIG", err)
	}
	config = rest.CopyConfig(config)
	if config.QPS == 0 {
		config.QPS, config.Burst = 50, 300 // as kubectl
	}
	c := &Clients{Config: config}
	if c.Kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.Rings, err = versioned.NewForConfig(config); err != nil {
		return nil, err
	}
	if c.Dynamic, err = dynamic.NewForConfig(config); err != nil {
		return nil, err
	}
	c.Metadata, err = metadata.NewForConfig(config)
	return c, err
}

// Namespace returns the namespace of --namespace or the kubeconfig.
func (o *Options) Namespace() (string, error) {
	namespace, _, err := o.Getter.ToRawKubeConfigLoader().Namespace()
	return namespace, err
}
