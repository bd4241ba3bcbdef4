package testenv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Component names a program of the control plane.
type Component string

// The components.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "apiserver"
	ControllerManager Component = "controller-manager"
)

var errExisting = errors.New("not possible with an existing cluster")

// StopComponent stops a component and returns when it is gone. Its address stays reserved for it.
func (c *Cluster) StopComponent(ctx context.Context, component Component) error {
	return c.act(ctx, "stop", component)
}

// KillComponent is StopComponent with SIGKILL.
func (c *Cluster) KillComponent(ctx context.Context, component Component) error {
	return c.act(ctx, "kill", component)
}

// StartComponent starts a stopped component and returns when it is ready.
func (c *Cluster) StartComponent(ctx context.Context, component Component) error {
	return c.act(ctx, "start", component)
}

// RestartComponent stops and starts a component.
func (c *Cluster) RestartComponent(ctx context.Context, component Component) error {
	return c.act(ctx, "restart", component)
}

// PauseComponent lets a component hang (SIGSTOP): connections to it stay open and get no answers.
func (c *Cluster) PauseComponent(ctx context.Context, component Component) error {
	return c.act(ctx, "pause", component)
}

// ResumeComponent lets a component that hangs go on.
func (c *Cluster) ResumeComponent(ctx context.Context, component Component) error {
	return c.act(ctx, "resume", component)
}

// StopAPIServer makes the API server go away.
func (c *Cluster) StopAPIServer(ctx context.Context) error { return c.StopComponent(ctx, APIServer) }

// StartAPIServer brings it back at the same address.
func (c *Cluster) StartAPIServer(ctx context.Context) error { return c.StartComponent(ctx, APIServer) }

// SaveEtcd copies the state of etcd into a directory, as it is when etcd hangs: as after a crash.
func (c *Cluster) SaveEtcd(ctx context.Context, to string) (err error) {
	if err := c.PauseComponent(ctx, Etcd); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.ResumeComponent(context.WithoutCancel(ctx), Etcd)) }()
	return os.CopyFS(to, os.DirFS(c.etcdDir()))
}

// RestoreEtcd gives etcd, which must be stopped, the state that was saved in a directory.
func (c *Cluster) RestoreEtcd(from string) error {
	if c.server == nil {
		return errExisting
	}
	if err := os.RemoveAll(c.etcdDir()); err != nil {
		return err
	}
	return os.CopyFS(c.etcdDir(), os.DirFS(from))
}

func (c *Cluster) etcdDir() string { return filepath.Join(c.Dir(), "etcd") }

// RequireControl skips a test that stops or pauses components where that is not possible.
func (c *Cluster) RequireControl(t testing.TB) {
	t.Helper()
	if c.server == nil {
		t.Skipf("the components of the cluster of %s cannot be controlled", KubeconfigVar)
	}
}

func (c *Cluster) act(ctx context.Context, action string, component Component) error {
	if c.server == nil {
		return errExisting
	}
	_, err := c.server.control(ctx, c.Dir(), action, string(component))
	return err
}
