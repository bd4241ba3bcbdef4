package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// errRunning means that a supervisor lives in the directory.
var errRunning = errors.New("a cluster is running in this directory")

// lock makes this process the supervisor of dir until it closes the file or ends, however it ends.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: %w", dir, errRunning)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return f, nil
}

// waitGone returns when no supervisor lives in dir any more.
func waitGone(ctx context.Context, dir string) error {
	for {
		f, err := lock(dir)
		if err == nil {
			return f.Close()
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil // it removed its directory
		}
		if !errors.Is(err, errRunning) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of the cluster in %s: %w", dir, context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}
