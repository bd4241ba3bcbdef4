package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/clusterring/clusterring/tools/devcluster/internal/process"
)

// component is one of the programs that a supervisor runs.
type component struct {
	name  string
	flags []string
	grace time.Duration                   // between the request to end and the kill
	ready func(ctx context.Context) error // nil once it serves

	orders sync.Mutex // one start, stop or restart at a time

	// Guarded by Supervisor.mu.
	process  *process.Process // nil when it does not run
	state    string
	restarts int
	wanted   bool               // it should run
	giveUp   context.CancelFunc // ends attempts to start it again; nil when there have been none
}

// tailLines of a log are shown when a component ended unexpectedly.
const tailLines = 20

// newComponents returns the components in the order in which they start.
func newComponents(o *Options, f *files, p ports) ([]*component, error) {
	etcd, err := newProber(f.etcdCA.CertPEM(), f.etcdClientCert, f.etcdClientKey)
	if err != nil {
		return nil, err
	}
	api, err := newProber(f.ca.CertPEM(), f.adminCert, f.adminKey)
	if err != nil {
		return nil, err
	}
	all := map[string]*component{
		Etcd: {
			flags: etcdFlags(o, f, p),
			grace: 5 * time.Second, // it writes down what it has
			ready: func(ctx context.Context) error { return etcd.get(ctx, url(p.Etcd)+"/health", `"true"`) },
		},
		APIServer: {
			flags: apiServerFlags(o, f, p),
			grace: time.Second,
			ready: func(ctx context.Context) error { return api.get(ctx, url(p.APIServer)+"/readyz", "") },
		},
		ControllerManager: {
			flags: controllerManagerFlags(o, f, p),
			grace: time.Second,
			ready: func(ctx context.Context) error {
				// It is well as soon as it listens. Checks of the controllers come when all of them are about to run.
				if err := api.get(ctx, url(p.ControllerManager)+"/healthz?verbose", "]garbage-collector-controller "); err != nil {
					return err
				}
				// Made by a controller: now they work, and pods can be created.
				return api.get(ctx, url(p.APIServer)+"/api/v1/namespaces/default/serviceaccounts/default", "")
			},
		},
	}
	var components []*component
	for _, name := range o.components() {
		c := all[name]
		c.name, c.state = name, Stopped
		components = append(components, c)
	}
	return components, nil
}

// waitReady returns when the component serves. It gives up when its process has ended.
func (c *component) waitReady(ctx context.Context, p *process.Process, timeout time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not ready after %s", timeout))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := c.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.Done():
			return endedError(c.name, p)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; last answer: %w; end of its log:\n%s", c.name, context.Cause(ctx), err, p.LogTail(tailLines))
		case <-tick.C:
		}
	}
}

func endedError(name string, p *process.Process) error {
	how := "exit status 0"
	if err := p.Err(); err != nil {
		how = err.Error()
	}
	return fmt.Errorf("%s ended unexpectedly (%s); end of its log:\n%s", name, how, p.LogTail(tailLines))
}
