package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMistakes: what cannot be made is refused with the reason, before anything is built.
func TestMistakes(t *testing.T) {
	repo := t.TempDir()
	for _, args := range [][]string{
		{"init", "--quiet"}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "--message=a"},
	} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", repo}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "old"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	changed := t.TempDir()
	if err := os.CopyFS(changed, os.DirFS(repo)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(changed, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"unknown command":  {[]string{"walk"}, `"walk"`},
		"no version":       {[]string{"all"}, "needs a version such as v1.2.3"},
		"no v":             {[]string{"all", "--version=0.2.0"}, "--version=0.2.0: a release needs"},
		"short version":    {[]string{"all", "--version=v0.2"}, "--version=v0.2: a release needs"},
		"build metadata":   {[]string{"all", "--version=v0.2.0+linux"}, "--version=v0.2.0+linux: a release needs"},
		"changed tree":     {[]string{"all", "--version=v0.2.0", "--repo=" + changed}, "not committed:\n?? new"},
		"directory in use": {[]string{"all", "--version=v0.2.0", "--out=" + full, "--repo=" + repo}, full + " is not empty"},
		"image with a tag": {[]string{"image", "--image=a/b:c", "--repo=" + repo}, "without a tag"},
		"no registry":      {[]string{"push", "--image=a/b", "--repo=" + repo}, "HOST/a/b"},
		"no repository":    {[]string{"image", "--repo=" + full}, "not a git repository"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if status := runCommand(t.Context(), tc.args, &out, &out); status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			if !strings.Contains(out.String(), tc.says) {
				t.Errorf("prints %q, want it to contain %q", out.String(), tc.says)
			}
		})
	}
}
