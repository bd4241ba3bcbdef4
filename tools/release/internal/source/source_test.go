package source

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// repository makes a repository with a program and one commit.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "go.mod", "module example.com/program\n\ngo 1.26\n")
	write(t, dir, "main.go", "package main\n\nvar version, revision string\n\nfunc main() { print(version, \" \", revision) }\n")
	run(t, dir, "init", "--quiet")
	run(t, dir, "add", ".")
	run(t, dir, "commit", "--quiet", "--message=program")
	return dir
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=1764331200 +0100", "GIT_COMMITTER_NAME=a",
		"GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=1764331200 +0100", "GIT_CONFIG_GLOBAL="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

func read(t *testing.T, dir, version string) Source {
	t.Helper()
	s, err := Read(t.Context(), dir, version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRead(t *testing.T) {
	dir := repository(t)
	s := read(t, dir, "")
	if s.Time.Unix() != 1764331200 || len(s.Revision) != 40 || !strings.HasPrefix(s.Revision, s.Version) {
		t.Errorf("Read() = %+v", s)
	}
	run(t, dir, "tag", "v0.1.0")
	run(t, dir, "commit", "--quiet", "--allow-empty", "--message=more")
	if s := read(t, dir, ""); !strings.HasPrefix(s.Version, "v0.1.0-1-g") {
		t.Errorf("one commit after a tag, the version is %s", s.Version)
	}
	write(t, dir, "new.go", "package main\n")
	if s := read(t, dir, ""); !strings.HasSuffix(s.Version, "-dirty") || !strings.HasSuffix(s.Revision, "-dirty") {
		t.Errorf("with a new file, Read() = %+v", s)
	}
	if s := read(t, dir, "v0.2.0"); s.Version != "v0.2.0" || !strings.HasSuffix(s.Revision, "-dirty") {
		t.Errorf("with a version and a new file, Read() = %+v", s)
	}
}

func TestReleasable(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, dir string)
		want    string // an error, or nothing
	}{
		"not tagged yet": {func(*testing.T, string) {}, ""},
		"tagged":         {func(t *testing.T, dir string) { run(t, dir, "tag", "v0.2.0") }, ""},
		"annotated tag":  {func(t *testing.T, dir string) { run(t, dir, "tag", "--message=it", "v0.2.0") }, ""},
		"changed": {func(t *testing.T, dir string) { write(t, dir, "go.mod", "module other\n") },
			"not committed:\nM go.mod"},
		"new file": {func(t *testing.T, dir string) { write(t, dir, "new.go", "") }, "?? new.go"},
		"tagged elsewhere": {func(t *testing.T, dir string) {
			run(t, dir, "tag", "v0.2.0")
			run(t, dir, "commit", "--quiet", "--allow-empty", "--message=more")
		}, "v0.2.0 is on another commit"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := repository(t)
			tc.prepare(t, dir)
			err := read(t, dir, "v0.2.0").Releasable(t.Context())
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Releasable() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestNoRepository(t *testing.T) {
	if _, err := Read(t.Context(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("Read() error = %v", err)
	}
}

// TestBuild: the same source makes the same program, wherever it is and whatever the developer has set.
func TestBuild(t *testing.T) {
	var programs [2][]byte
	for i, goflags := range []string{"", "-race"} {
		t.Setenv("GOFLAGS", goflags)
		s := read(t, repository(t), "v0.2.0")
		path := filepath.Join(t.TempDir(), "program")
		if err := s.Build(t.Context(), ".", runtime.GOARCH, path); err != nil {
			t.Fatal(err)
		}
		var err error
		if programs[i], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			continue
		}
		out, err := exec.CommandContext(t.Context(), path).CombinedOutput()
		if want := "v0.2.0 " + s.Revision; err != nil || string(out) != want {
			t.Errorf("the program prints %q (%v), want %q", out, err, want)
		}
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, setting := range info.Settings {
			if setting.Key == "CGO_ENABLED" && setting.Value != "0" {
				t.Error("the program is not static")
			}
		}
	}
	if !bytes.Equal(programs[0], programs[1]) {
		t.Error("two programs of the same source differ")
	}
}
