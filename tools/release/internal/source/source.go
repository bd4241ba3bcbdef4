// Package source knows what a release is made of: a commit of the repository, and programs that are built from it.
package source

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// Source is a commit of the repository, or a tree with changes on top of one.
type Source struct {
	Dir      string    // the root of the repository
	Version  string    // v1.2.3, or what git describes the commit as
	Revision string    // the commit; ends in -dirty when the tree has changes
	Time     time.Time // of the commit: whatever is made of it carries this time
}

// Read asks git about the repository in dir. An empty version means what git describes the commit as.
func Read(ctx context.Context, dir, version string) (Source, error) {
	s := Source{Dir: dir, Version: version}
	revision, err := git(ctx, dir, "rev-parse", "HEAD")
	if err != nil {
		return s, err
	}
	changes, err := git(ctx, dir, "status", "--porcelain")
	if err != nil {
		return s, err
	}
	seconds, err := git(ctx, dir, "show", "--no-patch", "--format=%ct", "HEAD")
	if err != nil {
		return s, err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return s, fmt.Errorf("time of commit %s: %w", revision, err)
	}
	s.Revision, s.Time = revision, time.Unix(unix, 0).UTC()
	if version == "" {
		if s.Version, err = git(ctx, dir, "describe", "--tags", "--always", "--match=v[0-9]*"); err != nil {
			return s, err
		}
	}
	if changes != "" {
		s.Revision += dirty
		if version == "" {
			s.Version += dirty
		}
	}
	return s, nil
}

const dirty = "-dirty"

// Releasable returns an error when nobody else could make the same release from the version's tag.
func (s Source) Releasable(ctx context.Context) error {
	if strings.HasSuffix(s.Revision, dirty) {
		changes, err := git(ctx, s.Dir, "status", "--short")
		if err != nil {
			return err
		}
		return fmt.Errorf("the tree has changes that are not committed:\n%s", changes)
	}
	// Without the tag there is nothing to compare with: it may follow the release.
	tagged, err := git(ctx, s.Dir, "for-each-ref", "--format=%(objectname) %(*objectname)", "refs/tags/"+s.Version)
	if err != nil {
		return err
	}
	if tagged != "" && !strings.Contains(tagged, s.Revision) {
		return fmt.Errorf("the tag %s is on another commit than HEAD (%s)", s.Version, s.Revision)
	}
	return nil
}

// Build builds the program of a package as a static one for Linux that depends on nothing but its source: the same
// source, version and toolchain make the same bytes, wherever the repository is.
func (s Source) Build(ctx context.Context, pkg, arch, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags=-s -w -X main.version="+s.Version+" -X main.revision="+s.Revision, "-o", out, pkg)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch,
		// What a developer may have set, and what would change the program.
		"GOFLAGS=", "GOWORK=off", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0")
	_, err := output(cmd)
	return err
}

func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	return output(cmd)
}

// output runs the command and returns what it prints, without the space around it.
func output(cmd *exec.Cmd) (string, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(bytes.TrimSpace(out)), nil
}
