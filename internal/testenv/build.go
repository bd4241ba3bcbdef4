package testenv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const modulePath = "github.com/clusterring/clusterring"

// repositoryRoot returns the directory of the module that the running test belongs to.
func repositoryRoot() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			for line := range strings.Lines(string(data)) {
				if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "module" && fields[1] == modulePath {
					return dir, nil
				}
			}
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside module %s", start, modulePath)
		}
	}
}

// buildDevcluster returns the path of an up-to-date bin/devcluster. Test processes of several packages that come at the
// same time wait for the one that builds.
func buildDevcluster(ctx context.Context, root string) (string, error) {
	binary := filepath.Join(root, "bin", "devcluster")
	if err := os.MkdirAll(filepath.Dir(binary), 0o755); err != nil {
		return "", err
	}
	lock, err := os.OpenFile(filepath.Join(root, "bin", ".devcluster.lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	if err := waitLock(lock); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(root, "tools", "devcluster", "build.sh"), binary)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("build the control plane: %w (try %q, or set %s to the kubeconfig of an existing cluster)",
			err, "make bin/devcluster", KubeconfigVar)
	}
	return binary, nil
}

// Build builds programs into a directory. A program has the name of its package's folder, which is given below the module.
func Build(ctx context.Context, dir string, packages ...string) error {
	args := []string{"build", "-ldflags=-s -w", "-o", dir + string(filepath.Separator)}
	for _, p := range packages {
		args = append(args, modulePath+"/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, bytes.TrimSpace(out))
	}
	return nil
}

// waitLock locks f until it is closed or this process ends.
func waitLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		fmt.Fprintln(os.Stderr, "testenv: waiting for another process that builds the control plane")
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}
