package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCopy copies this folder into a module that requires the library, and runs its unit tests there. Other tests need the
// control plane of this repository.
func TestCopy(t *testing.T) {
	const library = "github.com/clusterring/clusterring"
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") && path != "unit_test.go" {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(copied, path)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		// What one does with a copy, so that it does not use the original.
		return os.WriteFile(to, []byte(strings.ReplaceAll(string(source), library+"/sample-controller", "example.com/copy")), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, file), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, command := range [][]string{
		{"go", "mod", "edit", "-module=example.com/copy", "-require=" + library + "@v0.0.0", "-replace=" + library + "=" + root},
		{"go", "test", "-mod=mod", "-vet=off", "."},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = copied
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
}
