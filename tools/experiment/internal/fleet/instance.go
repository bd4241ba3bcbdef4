package fleet

import (
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/tcpproxy"
)

// aftermath is how long after a fault the end of the process is put down to it.
const aftermath = 15 * time.Second

// The faults, as events call them.
const (
	killed    = "a kill"
	paused    = "a pause"
	cut       = "a cut"
	blackHole = "a black hole"
)

// exitFailed is the exit status of a sharder or an operator that gives up, because it has lost its Lease for example. A panic
// has another one.
const exitFailed = 1

// Instance is a pod, so to speak.
type Instance struct {
	// Name is the pod's, Component what runs in it: scenario.Operator or scenario.Sharder.
	Name, Component string

	fleet   *Fleet
	spec    procs.Spec
	address string // of metrics and health
	proxy   *tcpproxy.Proxy
	gone    chan struct{} // closed when it must not be started again

	mu       sync.Mutex
	process  *procs.Process
	stopping bool
	fault    string    // the last one
	until    time.Time // when it was over; zero while it is not
}

// Kill ends the process with SIGKILL. It is started again.
func (i *Instance) Kill() error {
	i.blame(killed)
	i.heal()
	return i.running().Kill()
}

// Pause stops the process (SIGSTOP) without ending it.
func (i *Instance) Pause() error {
	i.blame(paused)
	i.fleet.paused(i.running().PID(), true)
	return i.running().Signal(syscall.SIGSTOP)
}

// Resume lets a paused process go on.
func (i *Instance) Resume() error {
	defer i.heal()
	p := i.running()
	err := p.Signal(syscall.SIGCONT)
	i.fleet.paused(p.PID(), false)
	return err
}

// Cut ends all of its connections to the API server.
func (i *Instance) Cut() {
	i.blame(cut)
	i.heal()
	i.proxy.Cut()
}

// Blackhole lets nothing through to the API server and back, until Unblock.
func (i *Instance) Blackhole() {
	i.blame(blackHole)
	i.proxy.Block()
}

// Unblock ends a Blackhole.
func (i *Instance) Unblock() {
	i.proxy.Unblock()
	i.heal()
}

func (i *Instance) running() *procs.Process {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.process
}

// blame notes a fault, which goes on until heal.
func (i *Instance) blame(fault string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fault, i.until = fault, time.Time{}
}

func (i *Instance) heal() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.until = time.Now()
}

// cause returns the fault that the end of the process is put down to, if there is one: at is when it ended, and how it did.
func (i *Instance) cause(at time.Time, how error) (fault string, ok bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fault == "" || (!i.until.IsZero() && at.Sub(i.until) > aftermath) || !explains(i.fault, how) {
		return "", false
	}
	return i.fault, true
}

// explains tells whether a process may end in this way because of a fault: by the signal that kills it, or because it gives up
// after it was away for longer than its Lease lasts. Losing its connections is none of these.
func explains(fault string, how error) bool {
	var exit *exec.ExitError
	if !errors.As(how, &exit) {
		return false
	}
	switch fault {
	case killed:
		status, ok := exit.Sys().(syscall.WaitStatus)
		return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
	case paused, blackHole:
		return exit.ExitCode() == exitFailed
	}
	return false
}

// start starts the process, unless the instance is not to run any more.
func (i *Instance) start() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.stopping {
		return nil
	}
	p, err := i.fleet.group.Start(i.spec)
	if err != nil {
		return err
	}
	i.process = p
	return nil
}

// supervise starts the process again whenever it ends, as long as the instance is to run.
func (i *Instance) supervise() {
	for {
		p := i.running()
		<-p.Done()
		i.mu.Lock()
		stopping := i.stopping
		i.mu.Unlock()
		if stopping {
			return
		}
		at, _ := p.Ended()
		how := fmt.Sprintf("exit status %d", p.ExitCode())
		if p.ExitCode() < 0 {
			how = fmt.Sprint(p.Err())
		}
		if fault, ok := i.cause(at, p.Err()); ok {
			i.fleet.event("%s has ended after %s: %s", i.Name, fault, how)
		} else {
			i.fleet.event("%s has ended: %s", i.Name, how)
			i.fleet.unexpected(fmt.Sprintf("%s ended with %s, which nobody had asked for; the end of its log: %s", i.Name, how, p.Tail(2)))
		}
		select {
		case <-i.gone:
			return
		case <-time.After(i.fleet.cfg.RestartDelay):
		}
		if err := i.start(); err != nil {
			i.fleet.unexpected(fmt.Sprintf("%s could not be started again: %v", i.Name, err))
			return
		}
	}
}

// end has the process not be started again, and ends it by end.
func (i *Instance) end(end func(*procs.Process) error) error {
	i.mu.Lock()
	if !i.stopping {
		i.stopping = true
		close(i.gone)
	}
	p := i.process
	i.mu.Unlock()
	return end(p)
}
