package procs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// probeInterval is the time between two probes of a process that is not ready yet.
const probeInterval = 20 * time.Millisecond

// Process is a running or ended child of this process. It is safe for concurrent use.
type Process struct {
	spec    Spec
	cmd     *exec.Cmd
	started time.Time

	done  chan struct{}
	ended time.Time // set before done is closed
	err   error     // set before done is closed
}

func newProcess(spec Spec, cmd *exec.Cmd) *Process {
	p := &Process{spec: spec, cmd: cmd, started: time.Now(), done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		p.ended = time.Now()
		close(p.done)
	}()
	return p
}

// Name returns the name from the Spec.
func (p *Process) Name() string { return p.spec.Name }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogFile returns the path of the file with the output of the process.
func (p *Process) LogFile() string { return p.spec.LogFile }

// Started returns the time just after the process was started.
func (p *Process) Started() time.Time { return p.started }

// Done returns a channel that is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running tells whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Ended returns the time at which the process was seen to have ended: it did nothing after it. ok is false as long as the
// process runs.
func (p *Process) Ended() (at time.Time, ok bool) {
	if p.Running() {
		return time.Time{}, false
	}
	return p.ended, true
}

// ExitCode returns the exit status of a process that ended by itself, -1 when it runs or was ended by a signal.
func (p *Process) ExitCode() int {
	if p.Running() {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// Err returns nil when the process runs or has ended with status 0, otherwise how it ended (an *exec.ExitError).
func (p *Process) Err() error {
	if p.Running() {
		return nil
	}
	return p.err
}

// Signal sends a signal to the process. It is no error when it has ended.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.spec.Name, err)
	}
	return nil
}

// Kill ends the process at once (SIGKILL) and returns when it has ended.
func (p *Process) Kill() error {
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-p.done
	return nil
}

// Stop asks the process to end (SIGTERM) and returns when it has. After the grace it is killed, and Stop returns an error.
func (p *Process) Stop(grace time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("stop %s: still running %v after SIGTERM, killed", p.spec.Name, grace)
}

// Ready waits until the probe returns nil. It gives up when the context is done or the process has ended; the error then
// has the last error of the probe and the last lines of the log.
func (p *Process) Ready(ctx context.Context, probe func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(p.exit())
		case <-ctx.Done():
		}
	}()

	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	for {
		err := probe(ctx)
		if err == nil && ctx.Err() == nil {
			return nil
		}
		if err == nil {
			err = errors.New("ready, but too late")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is ready: %w (last probe: %w); end of %s:\n%s",
				p.spec.Name, context.Cause(ctx), err, p.spec.LogFile, p.Tail(5))
		case <-ticker.C:
		}
	}
}

// exit says how the process ended.
func (p *Process) exit() error {
	if p.err != nil {
		return fmt.Errorf("the process has ended: %w", p.err)
	}
	return errors.New("the process has ended with status 0")
}

// Tail returns the last lines of the log file, as far as it can be read.
func (p *Process) Tail(lines int) string {
	const most = 16 << 10
	f, err := os.Open(p.spec.LogFile)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	buf := make([]byte, min(info.Size(), most))
	n, _ := f.ReadAt(buf, info.Size()-int64(len(buf)))
	all := strings.Split(strings.TrimRight(string(buf[:n]), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
