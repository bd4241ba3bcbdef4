// Package process runs child processes that never outlive their parent, not even when it is killed with SIGKILL.
//
// Two mechanisms back each other up. On Linux the kernel kills a child when the thread that made it dies, and that
// thread is kept until the child has ended. Everywhere, a child that is this very program reads from a pipe that only
// the parent can write to, and ends when the pipe does.
package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Config describes a child.
type Config struct {
	Name    string   // what it is called in a list of processes
	Path    string   // the program; empty means this one
	Args    []string // without the program's name
	Dir     string   // working directory
	LogFile string   // gets standard output and error, appended
}

// Process is a running or ended child. Its methods may be called from any goroutine.
type Process struct {
	process *os.Process
	log     string
	logSize int64 // at the start
	done    chan struct{}
	err     error // valid once done is closed
}

// Start starts a child and returns once it runs.
func Start(cfg Config) (*Process, error) {
	log, err := os.OpenFile(cfg.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own descriptor

	path := cfg.Path
	if path == "" {
		if path, err = self(); err != nil {
			return nil, err
		}
	}
	cmd := exec.Command(path, cfg.Args...)
	cmd.Args[0] = cfg.Name
	cmd.Dir = cfg.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = environment()
	cmd.SysProcAttr = dieWithParent()
	read, err := lifeline()
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{read} // descriptor 3 of the child
	cmd.Env = append(cmd.Env, lifelineVar+"=3")

	p := &Process{log: cfg.LogFile, done: make(chan struct{})}
	if info, err := log.Stat(); err == nil {
		p.logSize = info.Size()
	}
	started := make(chan error)
	go func() {
		// The kernel's signal comes at the death of this thread, so it must not go to other goroutines or end early.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		p.process = cmd.Process
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// Pid returns the child's process id.
func (p *Process) Pid() int { return p.process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how the child ended: nil for exit status 0. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// LogTail returns the last lines that the child wrote, for messages to a person.
func (p *Process) LogTail(lines int) string { return Tail(p.log, p.logSize, lines) }

// Signal sends a signal to the child. A child that has ended is not an error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.process.Signal(sig); err != nil && err != os.ErrProcessDone {
		return err
	}
	return nil
}

// Stop asks the child to end, kills it when it has not ended after grace, and returns when it is gone.
func (p *Process) Stop(grace time.Duration) {
	if grace > 0 {
		_ = p.Signal(syscall.SIGTERM)
		_ = p.Signal(syscall.SIGCONT) // it may have been paused
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			return
		case <-timer.C:
		}
	}
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// environment is the parent's, without the variables that etcd would take for flags and that this package uses.
func environment() []string {
	var env []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "ETCD_") || strings.HasPrefix(v, lifelineVar+"=") {
			continue
		}
		env = append(env, v)
	}
	return env
}

// ExitWithParent ends this process when the parent that started it with Start is gone. It does nothing in a process that
// was started otherwise.
func ExitWithParent() {
	fd, err := strconv.Atoi(os.Getenv(lifelineVar))
	if err != nil {
		return
	}
	syscall.CloseOnExec(fd)
	end := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		_, _ = end.Read(make([]byte, 1)) // nobody ever writes: it returns at the end of the parent
		os.Exit(1)
	}()
}
