// Package cluster runs the three components of a control plane as one cluster: it lays out the directory, issues the
// certificates, chooses ports, starts the components in order, waits until each is ready, watches over them, and takes
// orders from other processes over a socket in the directory.
//
// It guarantees that no component outlives the supervising process (package process), and that one directory is never
// used by two supervisors at a time (a lock that the kernel drops when the holder dies).
package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Names of the components, which are also the names of their programs and logs.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
)

// Component returns the full name of a component that a person may have abbreviated.
func Component(name string) (string, error) {
	switch name {
	case Etcd:
		return Etcd, nil
	case APIServer, "apiserver":
		return APIServer, nil
	case ControllerManager, "controller-manager":
		return ControllerManager, nil
	}
	return "", fmt.Errorf("unknown component %q: it is one of etcd, apiserver, controller-manager", name)
}

// Options say what cluster to run.
type Options struct {
	Dir       string // holds everything of the cluster; one that was used before continues the cluster in it
	Temporary bool   // remove Dir at the end
	Assets    string // directory with programs to run instead of the built-in ones; those that it lacks are built-in

	FeatureGates  string // "A=true,B=false", for kube-apiserver and kube-controller-manager
	RuntimeConfig string // "api/alpha=true", for kube-apiserver
	UnsafeNoFsync bool   // etcd does not wait for the disk: fast, but a crash of the machine loses the data

	// Additional flags of each component, with both dashes. They come last and so take precedence.
	EtcdArgs, APIServerArgs, ControllerManagerArgs []string

	WithoutControllerManager bool

	Restart bool          // start a component again when it ends unexpectedly, instead of giving up
	Timeout time.Duration // for each component to become ready; 0 means one minute
	Out     io.Writer     // progress for a person
}

func (o *Options) complete() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("no directory"))
	}
	if o.Assets != "" {
		if _, err := os.Stat(o.Assets); err != nil {
			errs = append(errs, fmt.Errorf("directory with programs: %w", err))
		}
	}
	if o.Timeout < 0 {
		errs = append(errs, fmt.Errorf("negative timeout %s", o.Timeout))
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	return errors.Join(errs...)
}

// program returns the path of the component's program and the arguments before its flags.
func (o *Options) program(name string) (path string, args []string) {
	if o.Assets != "" {
		path := filepath.Join(o.Assets, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", []string{name}
}

func (o *Options) builtIn(name string) bool {
	path, _ := o.program(name)
	return path == ""
}

func (o *Options) components() []string {
	all := []string{Etcd, APIServer, ControllerManager}
	if o.WithoutControllerManager {
		return slices.Delete(all, 2, 3)
	}
	return all
}
