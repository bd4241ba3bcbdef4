package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// container is an unpacked image. When the tests run as root, its program sees the image's files only and runs as the image's
// user, as under a container runtime.
type container struct {
	root   string
	config v1.Config
}

// unpack unpacks the image with the tag in an archive.
func unpack(t *testing.T, archive, tag string) container {
	t.Helper()
	parsed, err := name.NewTag(tag)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(archive, &parsed)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := container{t.TempDir(), config.Config}
	files := mutate.Extract(image)
	defer files.Close()
	for r := tar.NewReader(files); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(c.root, header.Name), content, os.FileMode(header.Mode)); err != nil {
			t.Fatal(err)
		}
	}
}

// isolated reports whether the program sees the image's files only.
func isolated() bool { return os.Geteuid() == 0 }

// path returns what the program has to call a file in the root of the container.
func (c container) path(name string) string {
	if isolated() {
		return "/" + name
	}
	return filepath.Join(c.root, name)
}

func (c container) command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, c.path(filepath.Base(c.config.Entrypoint[0])), args...)
	cmd.Env = append([]string{}, c.config.Env...)
	if isolated() {
		var uid, gid uint32
		if _, err := fmt.Sscanf(c.config.User, "%d:%d", &uid, &gid); err != nil || uid == 0 {
			t.Fatalf("the image's user is %q, want a number that is not root's", c.config.User)
		}
		cmd.Dir = c.config.WorkingDir
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.root, Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	}
	return cmd
}
