package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Cluster is a control plane for tests. Its methods may be called from any goroutine.
type Cluster struct {
	// KubeconfigPath is the file of the administrator's kubeconfig.
	KubeconfigPath string

	config *rest.Config
	server *server // nil for an existing cluster
}

// Start starts a control plane, or connects to the existing one, and installs the CRDs. The caller must Stop it.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Minute
	}
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	c := &Cluster{KubeconfigPath: os.Getenv(KubeconfigVar)}
	if c.KubeconfigPath == "" {
		if c.server, err = startServer(ctx, root, opts); err != nil {
			return nil, err
		}
		c.KubeconfigPath = c.server.kubeconfig
	} else if opts.needsOwn() {
		return nil, fmt.Errorf("%w: these tests need feature gates or flags; unset %s", errExisting, KubeconfigVar)
	}
	if err := c.connect(ctx, root, opts); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) connect(ctx context.Context, root string, opts Options) error {
	ctx, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	var err error
	if c.config, err = LoadKubeconfig(c.KubeconfigPath); err != nil {
		return err
	}
	crds := opts.CRDs
	if crds == nil {
		crds = []string{"config/crd"}
	}
	for _, path := range crds {
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		if err := c.InstallCRDs(ctx, path); err != nil {
			return err
		}
	}
	if c.server != nil && len(crds) > 0 && !opts.WithoutControllerManager {
		// The garbage collector looks for new resources every 30 seconds, and when it starts.
		return c.RestartComponent(ctx, ControllerManager)
	}
	return nil
}

// Stop ends the control plane and waits until nothing of it is left. An existing cluster is left alone.
func (c *Cluster) Stop() error {
	if c.server == nil {
		return nil
	}
	return c.server.stop()
}

// Config returns a copy of the administrator's client configuration, without a client-side rate limit.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Dir returns the directory of the control plane, with logs and state.json, or "" for an existing cluster.
func (c *Cluster) Dir() string {
	if c.server == nil {
		return ""
	}
	return filepath.Dir(c.KubeconfigPath)
}

// LoadKubeconfig reads the client configuration in a kubeconfig, without a client-side rate limit.
func LoadKubeconfig(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no limit: tests wait for the thing that they test
	return config, nil
}
