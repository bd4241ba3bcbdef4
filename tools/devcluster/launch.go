package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/clusterring/clusterring/tools/devcluster/internal/cluster"
	"github.com/clusterring/clusterring/tools/devcluster/internal/process"
)

const (
	// launcherVar tells a supervisor in the background the descriptor on which it reports its start.
	launcherVar = "DEVCLUSTER_LAUNCHER_FD"
	// launchedLine is the last line of that report.
	launchedLine = "launched"
)

// launch runs this command line again in the background, without --detach, and returns when that is ready.
func launch(ctx context.Context, opts cluster.Options, progress io.Writer) error {
	if err := os.MkdirAll(opts.Dir, 0o755); err != nil {
		return err
	}
	logFile := cluster.LogFile(opts.Dir, "supervisor")
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	size, err := log.Seek(0, io.SeekEnd) // of earlier clusters in this directory
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(arg string) bool {
		return arg == "--detach" || strings.HasPrefix(arg, "--detach=")
	})
	args = append(args, "--dir="+opts.Dir, "--temporary="+strconv.FormatBool(opts.Temporary))
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{write}
	cmd.Env = append(os.Environ(), launcherVar+"=3")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // neither the terminal's interrupts nor its end
	if err := cmd.Start(); err != nil {
		return err
	}
	write.Close()
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) })
	defer stop()

	// Byte by byte would be nicer to watch than line by line, but then the last line would have to be recognized in a stream.
	lines := bufio.NewScanner(read)
	for lines.Scan() {
		if lines.Text() == launchedLine {
			return cmd.Process.Release()
		}
		fmt.Fprintln(progress, lines.Text())
	}
	err = cmd.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the cluster did not start (%v); end of %s:\n%s", err, filepath.Clean(logFile), process.Tail(logFile, size, 30))
}

// launcherPipe returns where to report to whoever launched this process, or nil.
func launcherPipe() *os.File {
	fd, err := strconv.Atoi(os.Getenv(launcherVar))
	if err != nil {
		return nil
	}
	os.Unsetenv(launcherVar)
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "launcher")
}

// ignoreErrors writes to a reader that may be gone.
type ignoreErrors struct{ io.Writer }

func (w ignoreErrors) Write(p []byte) (int, error) {
	_, _ = w.Writer.Write(p)
	return len(p), nil
}
