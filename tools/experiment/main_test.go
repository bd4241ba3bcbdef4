package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/verify"
	"github.com/clusterring/clusterring/tools/experiment/queries"
)

// TestMain lets the test binary be the load generator, which 'experiment run' starts as a process of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "load" {
		main()
	}
	os.Exit(m.Run())
}

func TestCommandLine(t *testing.T) {
	bin := t.TempDir()
	full := t.TempDir()
	if err := os.Mkdir(filepath.Join(full, "tsdb"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"help":                {args: []string{"--help"}, says: "Exit status"},
		"help of run":         {args: []string{"run", "--help"}, says: "scale-out"},
		"help of load":        {args: []string{"load", "--help"}, says: "/status"},
		"help of evaluation":  {args: []string{"evaluation", "--help"}, says: "interrupted goes on"},
		"unknown command":     {args: []string{"walk"}, status: exitUsage, says: "walk"},
		"unknown flag":        {args: []string{"run", "basic", "--speed=1"}, status: exitUsage, says: "--speed"},
		"no scenario":         {args: []string{"run"}, status: exitUsage, says: "rolling-update"},
		"unknown scenario":    {args: []string{"run", "none"}, status: exitUsage, says: `"none"`},
		"impossible scenario": {args: []string{"run", "basic", "--duration=1s", "--instances=0"}, status: exitUsage, says: "0 instances"},
		"never":               {args: []string{"run", "basic", "--repeat=0"}, status: exitUsage, says: "--repeat"},
		"no programs":         {args: []string{"run", "basic", "--bin=" + bin, "--out=" + filepath.Join(bin, "out")}, status: exitUsage, says: "make build"},
		"not empty":           {args: []string{"run", "basic", "--bin=" + bin, "--out=" + full}, status: exitUsage, says: full + " is not empty"},
		"unknown setup":       {args: []string{"run", "basic", "--setup=none", "--bin=" + bin, "--out=" + filepath.Join(bin, "out")}, status: exitUsage, says: `"none"`},
		"load, wrong":         {args: []string{"load", "--create=many", "--kubeconfig=/does/not/exist"}, status: exitUsage, says: "--create"},
		"an argument":         {args: []string{"evaluation", "now"}, status: exitUsage, says: `"now"`},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if got := runCommand(t.Context(), tc.args, &out, &out); got != tc.status {
				t.Errorf("exit status %d, want %d", got, tc.status)
			}
			if !strings.Contains(out.String(), tc.says) {
				t.Errorf("prints %q, want it to contain %q", out.String(), tc.says)
			}
		})
	}
}

// TestObjective: the load generator and the query mean the same by being late.
func TestObjective(t *testing.T) {
	all, err := measure.ReadQueries(queries.Files)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range all {
		if q.Name == "latency-reconciliation" {
			if q.SLO == nil || *q.SLO != load.Objective.Seconds() {
				t.Errorf("the objective of %s is %v, that of the load %s", q.Name, q.SLO, load.Objective)
			}
			return
		}
	}
	t.Error("there is no query for the time that reconciliation takes")
}

// programs builds what a run needs and returns the directory with it.
func programs(t *testing.T) (bin, repo string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	bin = t.TempDir()
	for _, build := range [][]string{
		{filepath.Join(repo, "tools", "devcluster", "build.sh")},
		{"go", "build", "-o", filepath.Join(bin, "sharder"), "./tools/sharder"},
		{"go", "build", "-o", filepath.Join(bin, "webhosting-operator"), "./examples/webhosting"},
	} {
		cmd := exec.CommandContext(t.Context(), build[0], build[1:]...)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", cmd, err, out)
		}
	}
	if err := os.Symlink(filepath.Join(repo, "bin", "devcluster"), filepath.Join(bin, "devcluster")); err != nil {
		t.Fatal(err)
	}
	return bin, repo
}

// TestRun carries out a short run. How fast everything is does not matter here.
func TestRun(t *testing.T) {
	bin, repo := programs(t)
	dir := filepath.Join(t.ArtifactDir(), "run")
	args := []string{"run", "basic", "--duration=15s", "--load-factor=0.2", "--bin=" + bin, "--repo=" + repo, "--out=" + dir}
	r := carriedOut(t, args, dir)
	if took := r.End.Sub(r.Start); took < 14*time.Second || took > 40*time.Second {
		t.Errorf("the load went on for %s", took)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{"csv", "logs", "plots", "report.html", "run.json"}, names); diff != "" {
		t.Errorf("left behind (-want +got):\n%s", diff)
	}
}

// carriedOut carries out a run that leaves its directory, and returns it. All must be well in it; only if the machine was too
// slow, what takes time may have taken too long.
func carriedOut(t *testing.T, args []string, dir string) *measure.Run {
	t.Helper()
	var out bytes.Buffer
	status := runCommand(t.Context(), args, &out, &out)
	t.Logf("%s", &out)
	if status != exitOK && status != exitBroken {
		t.Fatalf("exit status %d", status)
	}
	r, err := measure.ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	excused := verify.Excused(r)
	for _, c := range r.Checks {
		if !c.OK && !slices.Contains(excused, c.Name) {
			t.Errorf("%s: %s", c.Name, c.Detail)
		}
	}
	for _, v := range r.Verdicts {
		if !v.OK && !slices.Contains(excused, v.Name) {
			t.Errorf("%s is %v, its objective %v: %s", v.Name, v.Value, v.SLO, v.Detail)
		}
	}
	if len(r.Verdicts) < 4 || len(r.Checks) < 8 {
		t.Errorf("%d verdicts and %d checks", len(r.Verdicts), len(r.Checks))
	}
	nothingLeft(t, dir)
	return r
}

// TestInterrupted interrupts a run in the midst of the load.
func TestInterrupted(t *testing.T) {
	bin, repo := programs(t)
	dir := filepath.Join(t.ArtifactDir(), "run")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	go func() {
		var said strings.Builder
		for buffer := make([]byte, 1024); ; {
			n, err := read.Read(buffer)
			if said.Write(buffer[:n]); strings.Contains(said.String(), "changes/s  queue") {
				cancel()
			}
			if err != nil {
				return
			}
		}
	}()
	status := runCommand(ctx, []string{"run", "basic", "--duration=5m", "--load-factor=0.1", "--bin=" + bin, "--repo=" + repo, "--out=" + dir}, write, write)
	write.Close()
	if status != exitInterrupted {
		t.Errorf("exit status %d, want %d", status, exitInterrupted)
	}
	if _, err := measure.ReadRun(dir); err == nil {
		t.Error("a run that was interrupted looks as if it were complete")
	}
	nothingLeft(t, dir)
}

// nothingLeft checks that no process works in the directory any more.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(dir)) {
			t.Errorf("%s still runs: %s", filepath.Dir(file), bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}
	for _, pattern := range []string{"cluster", "kubeconfig*", "tsdb", "records"} {
		if left, _ := filepath.Glob(filepath.Join(dir, pattern)); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}
