package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/clusterring/clusterring/tools/devcluster/internal/process"
)

// Supervisor runs a cluster.
type Supervisor struct {
	opts       Options
	components []*component // in the order of their start
	ports      ports

	fatal chan error    // gets an unexpected end that ends the cluster
	down  chan struct{} // gets the order to end

	mu    sync.Mutex // guards the components' mutable fields, the following, and the state file
	ready bool
	ended bool
}

// New returns a supervisor of the cluster in opts.Dir, which is made if it is not there.
func New(opts Options) (*Supervisor, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	opts.Dir = dir
	return &Supervisor{opts: opts, fatal: make(chan error, 1), down: make(chan struct{}, 1)}, os.MkdirAll(dir, 0o755)
}

// Run runs the cluster until ctx is done, until it is told to end over the control socket, or until a component has
// ended unexpectedly, which is an error. It calls ready once everything serves, and returns when everything has ended.
func (s *Supervisor) Run(ctx context.Context, ready func()) error {
	lock, err := lock(s.opts.Dir)
	if err != nil {
		return err
	}
	defer lock.Close() // last: whoever waits for the end finds nothing left
	if s.opts.Temporary {
		defer os.RemoveAll(s.opts.Dir)
	}
	if err := s.prepare(); err != nil {
		return fmt.Errorf("prepare %s: %w", s.opts.Dir, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	control, err := s.serveControl(ctx)
	if err != nil {
		return err
	}
	defer control.Close()
	defer func() {
		cancel() // first, so that nothing is restarted
		s.stopAll()
	}()

	go func() {
		select {
		case <-s.down:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := s.startAll(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	ready()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.fatal:
		return err
	}
}

func (s *Supervisor) prepare() error {
	old, err := ReadState(s.opts.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.ports = old.Ports
	if err := s.ports.complete(); err != nil {
		return err
	}
	files, err := newFiles(s.opts.Dir)
	if err != nil {
		return err
	}
	if s.components, err = newComponents(&s.opts, files, s.ports); err != nil {
		return err
	}
	if err := s.writeState(); err != nil {
		return err
	}
	return writeKubeconfigs(s.opts.Dir)
}

func (s *Supervisor) startAll(ctx context.Context) error {
	begin := time.Now()
	for _, c := range s.components {
		if err := s.start(ctx, c); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.ready = true
	s.mu.Unlock()
	s.say("cluster ready in %s\n", seconds(time.Since(begin)))
	return s.writeState()
}

// start starts c and waits until it is ready. It does nothing when c runs.
func (s *Supervisor) start(ctx context.Context, c *component) error {
	c.orders.Lock()
	defer c.orders.Unlock()
	s.setWanted(c, true)
	return s.startLocked(ctx, c)
}

// startLocked is start for callers that hold c.orders.
func (s *Supervisor) startLocked(ctx context.Context, c *component) error {
	if s.process(c) != nil {
		return nil
	}
	s.say("starting %s … ", c.name)
	begin := time.Now()
	path, args := s.opts.program(c.name)
	p, err := process.Start(process.Config{
		Name:    c.name,
		Path:    path,
		Args:    slices.Concat(args, c.flags),
		Dir:     s.opts.Dir,
		LogFile: LogFile(s.opts.Dir, c.name),
	})
	if err != nil {
		s.say("failed\n")
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	s.set(c, p, Starting)
	if err := c.waitReady(ctx, p, s.opts.Timeout); err != nil {
		s.say("failed\n")
		p.Stop(0)
		s.set(c, nil, Stopped)
		return err
	}
	s.set(c, p, Running)
	s.say("ready in %s\n", seconds(time.Since(begin)))
	go s.watch(c, p)
	return nil
}

// stop ends c, with its grace or at once.
func (s *Supervisor) stop(c *component, kill bool) {
	s.setWanted(c, false) // attempts to restart it end, and with them the lock that they hold
	c.orders.Lock()
	defer c.orders.Unlock()
	s.stopLocked(c, kill)
}

// stopLocked is stop for callers that hold c.orders.
func (s *Supervisor) stopLocked(c *component, kill bool) {
	p := s.process(c)
	if p == nil {
		return
	}
	grace := c.grace
	if kill {
		grace = 0
	}
	s.set(c, nil, Stopped) // first: so that watch knows it was asked for
	p.Stop(grace)
}

func (s *Supervisor) restart(ctx context.Context, c *component) error {
	c.orders.Lock()
	defer c.orders.Unlock()
	s.stopLocked(c, false)
	s.setWanted(c, true)
	s.count(c)
	return s.startLocked(ctx, c)
}

// stopAll ends everything, last started first. Only etcd has anything to put in order; in a directory that is about to
// be removed, it has not either.
func (s *Supervisor) stopAll() {
	for _, c := range slices.Backward(s.components) {
		s.stop(c, c.name != Etcd || s.opts.Temporary)
	}
	s.mu.Lock()
	s.ready, s.ended = false, true
	s.mu.Unlock()
	_ = s.writeState()
}

func (s *Supervisor) process(c *component) *process.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.process
}

func (s *Supervisor) set(c *component, p *process.Process, state string) {
	s.mu.Lock()
	c.process, c.state = p, state
	s.mu.Unlock()
	if err := s.writeState(); err != nil {
		s.say("write state: %v\n", err)
	}
}

func (s *Supervisor) count(c *component) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.restarts++
}

// writeState writes what is so now. Callers may be concurrent; the last to write has the newest state.
func (s *Supervisor) writeState() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{
		Ready:      s.ready,
		Server:     url(s.ports.APIServer),
		Kubeconfig: filepath.Join(s.opts.Dir, KubeconfigFile),
		Temporary:  s.opts.Temporary,
		Components: map[string]ComponentState{},
		Ports:      s.ports,
	}
	if !s.ended {
		state.Pid = os.Getpid()
	}
	for _, c := range s.components {
		cs := ComponentState{State: c.state, Restarts: c.restarts, Log: LogFile(s.opts.Dir, c.name)}
		if c.process != nil {
			cs.Pid = c.process.Pid()
		}
		state.Components[c.name] = cs
	}
	return state.write(s.opts.Dir)
}

func (s *Supervisor) say(format string, args ...any) {
	fmt.Fprintf(s.opts.Out, format, args...)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
