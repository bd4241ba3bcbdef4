package procs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Spec says what to run.
type Spec struct {
	// Name is what the process is called in errors. Default: the base name of Path.
	Name string
	// Path is the program, Args are its arguments, without the program itself.
	Path string
	Args []string
	// Env is added to the environment of this process.
	Env []string
	// Dir is the working directory. Default: that of this process.
	Dir string
	// LogFile receives what the process prints to stdout and stderr. It is appended to, so that a process that is
	// started again goes on in the file of its predecessor. Its directory is created if need be. Required.
	LogFile string
}

// Group is a set of processes that end together. It is safe for concurrent use.
type Group struct {
	starts chan func()
	ended  chan struct{}

	mu        sync.Mutex
	closed    bool
	processes []*Process
}

// NewGroup returns an empty group. Stop must be called when it is not needed any more.
func NewGroup() *Group {
	g := &Group{starts: make(chan func()), ended: make(chan struct{})}
	go g.run()
	return g
}

// run starts the processes of the group from one thread that lives as long as the group: the kernel sends the parent
// death signal when the thread that started a child ends, not when the process ends, and Go ends threads as it likes. The
// goroutine never unlocks its thread, so that the thread ends with it.
func (g *Group) run() {
	runtime.LockOSThread()
	defer close(g.ended)
	for start := range g.starts {
		start()
	}
}

// Start starts a process. It returns as soon as the process runs; see Process.Ready for more. The error is not nil when
// the program cannot be started, or the group was stopped.
func (g *Group) Start(spec Spec) (*Process, error) {
	if spec.Name == "" {
		spec.Name = filepath.Base(spec.Path)
	}
	if spec.LogFile == "" {
		return nil, fmt.Errorf("start %s: no log file given", spec.Name)
	}
	if err := os.MkdirAll(filepath.Dir(spec.LogFile), 0o755); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	log, err := os.OpenFile(spec.LogFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer log.Close() // the child has its own descriptor

	cmd := exec.Command(spec.Path, spec.Args...)
	cmd.Env = append(os.Environ(), spec.Env...)
	cmd.Dir = spec.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = attr()

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, fmt.Errorf("start %s: the group was stopped", spec.Name)
	}
	started := make(chan error)
	g.starts <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	p := newProcess(spec, cmd)
	g.processes = append(g.processes, p)
	return p, nil
}

// Processes returns all processes that were started in the group, also those that have ended, in the order of their start.
func (g *Group) Processes() []*Process {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.processes)
}

// Stop asks all processes of the group to end (SIGTERM), all at the same time, and kills those that have not done so
// after the grace. It returns when all have ended; nothing can be started in the group after it. The error tells which
// processes had to be killed. Stop may be called more than once.
func (g *Group) Stop(grace time.Duration) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		defer func() { <-g.ended }()
		defer close(g.starts)
	}
	processes := slices.Clone(g.processes)
	g.mu.Unlock()

	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() { errs[i] = p.Stop(grace) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
