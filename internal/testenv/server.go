package testenv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// server is a running "devcluster up".
type server struct {
	binary     string
	kubeconfig string

	cmd    *exec.Cmd
	stdin  io.WriteCloser // its end is the order to end, also when this process is killed
	stderr *tail
	exited chan struct{}
	once   sync.Once
}

func startServer(ctx context.Context, root string, opts Options) (*server, error) {
	binary, err := buildDevcluster(ctx, root)
	if err != nil {
		return nil, err
	}
	args := append([]string{"up", "--exit-with-parent", "--timeout=" + opts.Timeout.String()}, opts.flags()...)
	if assets := os.Getenv(AssetsVar); assets != "" {
		args = append(args, "--assets="+assets)
	}
	if os.Getenv(KeepVar) != "" {
		dir, err := os.MkdirTemp("", "testenv-")
		if err != nil {
			return nil, err
		}
		args = append(args, "--dir="+dir)
		fmt.Fprintf(os.Stderr, "testenv: logs and data of the control plane stay in %s\n", dir)
	}
	s := &server{binary: binary, stderr: &tail{}, exited: make(chan struct{})}
	s.cmd = exec.Command(binary, args...)
	// Not this process's own standard error: "go test" waits for everybody who holds that.
	s.cmd.Stderr = s.stderr
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the control plane: %w", err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(s.exited)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if path, ok := strings.CutPrefix(lines.Text(), "export KUBECONFIG="); ok {
				ready <- path
			}
		}
		_ = s.cmd.Wait()
	}()
	timer := time.NewTimer(opts.Timeout)
	defer timer.Stop()
	select {
	case s.kubeconfig = <-ready:
		return s, nil
	case <-s.exited:
		return nil, fmt.Errorf("start the control plane: %s:\n%s", s.cmd.ProcessState, s.stderr)
	case <-timer.C:
		err = fmt.Errorf("not ready after %s", opts.Timeout)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return nil, errors.Join(fmt.Errorf("start the control plane: %w:\n%s", err, s.stderr), s.stop())
}

// stop ends the supervisor, which ends everything that it started.
func (s *server) stop() error {
	s.once.Do(func() { s.stdin.Close() })
	select {
	case <-s.exited:
		return nil
	case <-time.After(20 * time.Second):
		_ = s.cmd.Process.Kill() // its children die with it
		<-s.exited
		return fmt.Errorf("the control plane did not end when told to, and was killed:\n%s", s.stderr)
	}
}

// control runs a subcommand of devcluster on this cluster.
func (s *server) control(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, s.binary, append(args, "--dir="+dir)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("devcluster %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return out, nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 16 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if len(t.data) > most {
		t.data = append([]byte(nil), t.data[len(t.data)-most:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
