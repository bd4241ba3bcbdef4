package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/klog/v2/textlogger"
)

func TestCommandLine(t *testing.T) {
	t.Setenv("POD_NAMESPACE", "")
	t.Setenv("KUBECONFIG", "")
	none := filepath.Join(t.TempDir(), "none")
	for name, tc := range map[string]struct {
		args       []string
		wantStatus int
		wantOut    []string // in what is printed to stdout
		wantErr    []string // in what is printed to stderr
	}{
		"help":          {args: []string{"--help"}, wantOut: []string{"singleton ", "--setup string", "--record file", "Exit status"}},
		"version":       {args: []string{"--version"}, wantOut: []string{"webhosting-operator"}},
		"unknown flag":  {args: []string{"--shards=3"}, wantStatus: exitUsage, wantErr: []string{"--shards", "--help"}},
		"another type":  {args: []string{"--workers=many"}, wantStatus: exitUsage, wantErr: []string{"--workers", "many"}},
		"argument":      {args: []string{"run"}, wantStatus: exitUsage, wantErr: []string{`"run"`}},
		"no namespace":  {wantStatus: exitUsage, wantErr: []string{"--shard-namespace", "$POD_NAMESPACE"}},
		"setup":         {args: []string{"--setup=several", "--shard-namespace=a"}, wantStatus: exitUsage, wantErr: []string{"--setup", `"several"`, "singleton"}},
		"ring":          {args: []string{"--ring=Foo_", "--shard-namespace=a"}, wantStatus: exitUsage, wantErr: []string{`--ring "Foo_"`}},
		"ring too long": {args: []string{"--ring=" + strings.Repeat("a", 64), "--shard-namespace=a"}, wantStatus: exitUsage, wantErr: []string{"--ring", "63"}},
		"several": {
			args: []string{"--shard-namespace=a", "--workers=0", "--kube-api-qps=0", "--kube-api-burst=-1",
				"--lease-duration=10ms", "--lease-renew-deadline=20ms", "--lease-retry-period=1h"},
			wantStatus: exitUsage,
			wantErr: []string{"--workers", "--kube-api-qps", "--kube-api-burst",
				"--lease-duration", "--lease-renew-deadline", "--lease-retry-period"},
		},
		"no kubeconfig": {
			args:       []string{"--shard-namespace=a", "--metrics-bind-address=0", "--kubeconfig=" + none},
			wantStatus: exitUsage, wantErr: []string{"--kubeconfig", none},
		},
		"address": {
			args:       []string{"--shard-namespace=a", "--metrics-bind-address=nowhere"},
			wantStatus: exitUsage, wantErr: []string{"--metrics-bind-address", "nowhere"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if status := command(t.Context(), tc.args, textlogger.NewConfig(textlogger.Output(&stderr)), &stdout, &stderr); status != tc.wantStatus {
				t.Errorf("status %d, want %d", status, tc.wantStatus)
			}
			for _, want := range tc.wantOut {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("printed %q, want it to contain %q", stdout.String(), want)
				}
			}
			for _, want := range tc.wantErr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("complained %q, want it to contain %q", stderr.String(), want)
				}
			}
		})
	}
}

func TestWorkers(t *testing.T) {
	for name, tc := range map[string]struct {
		args []string
		want int
	}{
		"ring":      {want: 15},
		"singleton": {args: []string{"--setup=singleton"}, want: 50},
		"given":     {args: []string{"--setup=singleton", "--workers=3"}, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parse(append(tc.args, "--shard-namespace=a"), textlogger.NewConfig(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if o.workers != tc.want {
				t.Errorf("%d workers, want %d", o.workers, tc.want)
			}
		})
	}
}

func TestReadiness(t *testing.T) {
	for name, tc := range map[string]struct {
		standby, working, synced bool
		want                     bool
	}{
		"a shard without Lease":           {},
		"a singleton waits for its turn":  {standby: true, want: true},
		"a singleton has just been given": {standby: true, working: true},
		"a shard that fills its caches":   {working: true},
		"a shard at work":                 {working: true, synced: true, want: true},
		"a singleton at work":             {standby: true, working: true, synced: true, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &readiness{standby: tc.standby}
			r.working.Store(tc.working)
			r.synced.Store(tc.synced)
			if err := r.check(); (err == nil) != tc.want {
				t.Errorf("ready: %v", err)
			}
		})
	}
}
