package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

// programs returns a directory with empty files in place of the programs, in a repository.
func programs(t *testing.T) string {
	t.Helper()
	repo := t.TempDir()
	for _, path := range []string{"bin/devcluster", "bin/sharder", "bin/sample-controller", "config/crd/crd.yaml"} {
		path = filepath.Join(repo, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(repo, "bin")
}

func TestParse(t *testing.T) {
	bin := programs(t)
	for name, test := range map[string]struct {
		args []string
		want []string // parts of the error
	}{
		"defaults":       {},
		"all wrong":      {args: []string{"--foos=1", "--edits=-1", "--shard-lease=1500ms", "--patience=0s"}, want: []string{"--foos", "--edits", "--shard-lease", "--patience"}},
		"argument":       {args: []string{"now"}, want: []string{`"now"`}},
		"unknown flag":   {args: []string{"--shards=5"}, want: []string{"shards"}},
		"used directory": {args: []string{"--dir=" + bin}, want: []string{"--dir"}},
		"no programs":    {args: []string{"--bin=" + t.TempDir()}, want: []string{"devcluster", "sharder", "sample-controller", "make build", "--repo"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(append([]string{"--bin=" + bin}, test.args...), &strings.Builder{})
			if len(test.want) == 0 && err != nil {
				t.Errorf("parse: %v", err)
			}
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("parse: %v, want it to mention %s", err, want)
				}
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var help strings.Builder
	if _, err := parse([]string{"--help"}, &help); !errors.Is(err, pflag.ErrHelp) {
		t.Errorf("parse: %v, want %v", err, pflag.ErrHelp)
	}
	for _, want := range []string{"make demo", "Exit status", "--foos", "--keep"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("help does not mention %q", want)
		}
	}
}

func TestKeepFromEnvironment(t *testing.T) {
	bin := programs(t)
	for value, want := range map[string]bool{"": false, "0": false, "1": true} {
		t.Setenv("KEEP", value)
		o, err := parse([]string{"--bin=" + bin}, &strings.Builder{})
		if err != nil || o.keep != want {
			t.Errorf("KEEP=%q: keep %v, error %v; want %v", value, o.keep, err, want)
		}
	}
}

func TestSlowest(t *testing.T) {
	births := []birth{{took: 3}, {took: 1}, {took: 2}}
	if median, longest := slowest(births); median != 2 || longest != 3 {
		t.Errorf("slowest: %d and %d, want 2 and 3", median, longest)
	}
	if median, longest := slowest(nil); median != 0 || longest != 0 {
		t.Errorf("slowest of nothing: %d and %d, want 0", median, longest)
	}
	if births[0].took != 3 {
		t.Error("slowest changed the order of its argument")
	}
}

func TestUnlabelled(t *testing.T) {
	births := []birth{{key: "a", label: true}, {key: "b"}, {key: "c", label: true}}
	got := unlabelled(births)
	if len(got) != 1 || got[0].key != "b" || births[1].key != "b" || births[0].key != "a" {
		t.Errorf("unlabelled: %v of %v, want b only", got, births)
	}
}

func TestCount(t *testing.T) {
	moves := []census.Move{{From: "b"}, {From: "a"}, {From: "b"}}
	if diff := cmp.Diff("a 1, b 2", count(moves, func(m census.Move) string { return m.From })); diff != "" {
		t.Errorf("count (-want +got):\n%s", diff)
	}
	if got := count(nil, nil); got != "nowhere" {
		t.Errorf("count of nothing: %q", got)
	}
}

func TestLater(t *testing.T) {
	a, b := time.Unix(1, 0), time.Unix(2, 0)
	if later(a, b) != b || later(b, a) != b || later(a, time.Time{}) != a {
		t.Error("later does not return the later time")
	}
}

func TestGrep(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sharder.log"), []byte("fine\nfoos is forbidden: x\nfine"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := grep("forbidden", filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"sharder.log: foos is forbidden: x"}, got); diff != "" {
		t.Errorf("grep (-want +got):\n%s", diff)
	}
}
