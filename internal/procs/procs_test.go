package procs

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// envHelper makes the test binary play one of the programs that the tests start.
const envHelper = "PROCS_TEST_HELPER"

func TestMain(m *testing.M) {
	switch os.Getenv(envHelper) {
	case "":
		goleak.VerifyTestMain(m)
	case "polite":
		fmt.Println("ready")
		select {} // the default action of SIGTERM ends it
	case "graceful":
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		fmt.Println("bye")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		select {}
	case "broken":
		fmt.Println("no such flag")
		os.Exit(2)
	case "parent":
		// Dies with a child, without having had a chance to end it.
		p, err := NewGroup().Start(helper("stubborn", os.Getenv("PROCS_TEST_DIR")))
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.PID())
		select {}
	}
}

func helper(kind, dir string) Spec {
	return Spec{
		Name: kind, Path: os.Args[0], LogFile: filepath.Join(dir, kind+".log"),
		Env: []string{envHelper + "=" + kind, "PROCS_TEST_DIR=" + dir},
	}
}

// printed is a probe that succeeds when the process has printed a line.
func printed(p *Process) func(context.Context) error {
	return func(context.Context) error {
		if p.Tail(1) == "" {
			return errors.New("nothing printed")
		}
		return nil
	}
}

func start(t *testing.T, g *Group, kind, dir string) *Process {
	t.Helper()
	p, err := g.Start(helper(kind, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Ready(t.Context(), printed(p)); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStopEndsAll(t *testing.T) {
	dir := t.TempDir()
	g := NewGroup()
	graceful, polite := start(t, g, "graceful", dir), start(t, g, "polite", dir)
	if !graceful.Running() || graceful.ExitCode() != -1 || graceful.Err() != nil {
		t.Errorf("running process: Running %v, ExitCode %d, Err %v", graceful.Running(), graceful.ExitCode(), graceful.Err())
	}
	if err := g.Stop(time.Minute); err != nil {
		t.Errorf("Stop: %v", err)
	}
	if graceful.Running() || graceful.ExitCode() != 0 || graceful.Err() != nil {
		t.Errorf("graceful: Running %v, ExitCode %d, Err %v, want ended with 0", graceful.Running(), graceful.ExitCode(), graceful.Err())
	}
	if got, want := graceful.Tail(2), "ready\nbye"; got != want {
		t.Errorf("log of graceful: %q, want %q", got, want)
	}
	if polite.Running() || polite.Err() == nil {
		t.Errorf("polite: Running %v, Err %v, want ended by the signal", polite.Running(), polite.Err())
	}
	if _, err := g.Start(helper("polite", dir)); err == nil {
		t.Error("Start after Stop succeeded")
	}
	if err := g.Stop(time.Minute); err != nil {
		t.Errorf("Stop again: %v", err)
	}
}

func TestStopKillsAfterTheGrace(t *testing.T) {
	g := NewGroup()
	p := start(t, g, "stubborn", t.TempDir())
	err := g.Stop(50 * time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "stubborn") {
		t.Errorf("Stop: %v, want an error that names the process", err)
	}
	if at, ok := p.Ended(); !ok || at.Before(p.Started()) {
		t.Errorf("Ended: %v, %v", at, ok)
	}
}

func TestReadyGivesUpWhenTheProcessEnds(t *testing.T) {
	g := NewGroup()
	defer g.Stop(time.Minute)
	p, err := g.Start(helper("broken", t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	err = p.Ready(t.Context(), func(context.Context) error { return errors.New("not yet") })
	for _, want := range []string{"broken", "exit status 2", "no such flag", "not yet"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Ready: %v, want it to mention %q", err, want)
		}
	}
}

func TestStartReportsAMissingProgram(t *testing.T) {
	g := NewGroup()
	defer g.Stop(time.Minute)
	_, err := g.Start(Spec{Path: "/does/not/exist", LogFile: filepath.Join(t.TempDir(), "log")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start: %v, want %v", err, os.ErrNotExist)
	}
}

func TestKilledParentLeavesNoOrphan(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent death signal")
	}
	g := NewGroup()
	defer g.Stop(time.Minute)
	parent := start(t, g, "parent", t.TempDir())
	child, err := strconv.Atoi(parent.Tail(1))
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.After(30 * time.Second)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for alive(child) {
		select {
		case <-deadline:
			t.Fatalf("process %d outlives its killed parent", child)
		case <-ticker.C:
		}
	}
}

// alive tells whether a process runs; one that only nobody has waited for yet does not.
func alive(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(out)), "Z")
}

func TestFreeAddresses(t *testing.T) {
	given := map[string]bool{}
	for range 500 {
		address, err := FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if given[address] {
			t.Errorf("%s was given twice", address)
		}
		given[address] = true
	}
}

func TestHTTP(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		ok     bool
	}{
		"ready":     {status: http.StatusOK, ok: true},
		"not ready": {status: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(test.status) }))
			defer server.Close()
			if err := HTTP(server.Client(), server.URL)(t.Context()); (err == nil) != test.ok {
				t.Errorf("probe: %v, want ok %v", err, test.ok)
			}
		})
	}
}
