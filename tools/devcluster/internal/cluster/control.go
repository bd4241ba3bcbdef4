package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Actions on a component.
const (
	ActionStart   = "start"
	ActionStop    = "stop"    // asks first
	ActionKill    = "kill"    // SIGKILL
	ActionRestart = "restart" // stop and start
	ActionPause   = "pause"   // SIGSTOP: it hangs
	ActionResume  = "resume"  // SIGCONT
)

// serveControl listens for orders. A path of a socket may only have about a hundred characters and directories of tests
// have more, so both sides name it relative to a directory that they hold open.
func (s *Supervisor) serveControl(ctx context.Context) (io.Closer, error) {
	path, closeDir, err := shortPath(s.opts.Dir)
	if err != nil {
		return nil, err
	}
	defer closeDir()
	_ = os.Remove(path) // of a supervisor that was killed: the lock says that none lives
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for orders: %w", err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // the short path may mean something else by then
	mux := http.NewServeMux()
	mux.HandleFunc("POST /down", func(http.ResponseWriter, *http.Request) {
		select {
		case s.down <- struct{}{}:
		default:
		}
	})
	mux.HandleFunc("POST /components/{component}/{action}", func(w http.ResponseWriter, r *http.Request) {
		if err := s.act(ctx, r.PathValue("component"), r.PathValue("action")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	return server, nil
}

func (s *Supervisor) act(ctx context.Context, name, action string) error {
	var c *component
	for _, candidate := range s.components {
		if candidate.name == name {
			c = candidate
		}
	}
	if c == nil {
		return fmt.Errorf("this cluster has no %q", name)
	}
	switch action {
	case ActionStart:
		return s.start(ctx, c)
	case ActionStop:
		s.stop(c, false)
		return nil
	case ActionKill:
		s.stop(c, true)
		return nil
	case ActionRestart:
		return s.restart(ctx, c)
	case ActionPause, ActionResume:
		p := s.process(c)
		if p == nil {
			return fmt.Errorf("%s does not run", name)
		}
		if action == ActionPause {
			return p.Signal(syscall.SIGSTOP)
		}
		return p.Signal(syscall.SIGCONT)
	}
	return fmt.Errorf("unknown action %q", action)
}

// Act has the supervisor of dir act on a component, and returns when that is done.
func Act(ctx context.Context, dir, component, action string) error {
	return order(ctx, dir, "/components/"+component+"/"+action)
}

// Down ends the cluster in dir and returns when nothing of it is left. A cluster that does not run is not an error.
func Down(ctx context.Context, dir string) error {
	state, err := ReadState(dir)
	if err != nil {
		return err
	}
	if err := order(ctx, dir, "/down"); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	if err := waitGone(ctx, dir); err != nil {
		return err
	}
	if state.Temporary {
		return os.RemoveAll(dir)
	}
	return nil
}

var errNotRunning = errors.New("no cluster is running in this directory")

func order(ctx context.Context, dir, path string) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			socket, closeDir, err := shortPath(dir)
			if err != nil {
				return nil, err
			}
			defer closeDir()
			return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://devcluster"+path, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", dir, errNotRunning)
	}
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(body)))
	}
	return nil
}

// shortPath returns a short path of the control socket in dir, valid until done is called.
func shortPath(dir string) (path string, done func(), err error) {
	long := filepath.Join(dir, controlSocket)
	if len(long) < 100 {
		return long, func() {}, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), controlSocket), func() { d.Close() }, nil
}
