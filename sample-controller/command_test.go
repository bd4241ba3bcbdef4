package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2/textlogger"
	"k8s.io/utils/ptr"
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
		"help":          {args: []string{"--help"}, wantOut: []string{"--sharding=false", "--record file", "Exit status"}},
		"version":       {args: []string{"--version"}, wantOut: []string{"sample-controller"}},
		"unknown flag":  {args: []string{"--shards=3"}, wantStatus: exitUsage, wantErr: []string{"--shards", "--help"}},
		"another type":  {args: []string{"--workers=many"}, wantStatus: exitUsage, wantErr: []string{"--workers", "many"}},
		"argument":      {args: []string{"run"}, wantStatus: exitUsage, wantErr: []string{`"run"`}},
		"no namespace":  {wantStatus: exitUsage, wantErr: []string{"--shard-namespace", "$POD_NAMESPACE"}},
		"ring":          {args: []string{"--ring=Foo_", "--shard-namespace=a"}, wantStatus: exitUsage, wantErr: []string{`--ring "Foo_"`}},
		"ring too long": {args: []string{"--ring=" + strings.Repeat("a", 64), "--shard-namespace=a"}, wantStatus: exitUsage, wantErr: []string{"--ring", "63"}},
		"several": {
			args: []string{"--shard-namespace=a", "--workers=0", "--kube-api-qps=0", "--kube-api-burst=-1", "--work-duration=-1s",
				"--lease-duration=10ms", "--lease-renew-deadline=20ms", "--lease-retry-period=1h"},
			wantStatus: exitUsage,
			wantErr: []string{"--workers", "--kube-api-qps", "--kube-api-burst", "--work-duration",
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

// TestSignal: the command ends with status 0 when its context ends, as it does with a signal.
func TestSignal(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	kubeconfig := w.kubeconfig()
	recordFile := filepath.Join(t.TempDir(), "record")
	go func() {
		status <- command(ctx, []string{
			"--kubeconfig=" + kubeconfig, "--namespace=" + w.namespace, "--shard-namespace=" + w.namespace, "--shard-name=a",
			"--metrics-bind-address=0", "--sharding=false", "--record=" + recordFile,
		}, textlogger.NewConfig(textlogger.Output(io.Discard)), io.Discard, io.Discard)
	}()
	w.createFoo("a", ptr.To[int32](1), nil)
	w.waitFoo("a", synced)
	cancel()
	if got := <-status; got != 0 {
		t.Errorf("status %d, want 0", got)
	}
	if _, err := os.Stat(recordFile); err != nil {
		t.Error(err)
	}
	lease, err := w.kube.CoordinationV1().Leases(w.namespace).Get(t.Context(), electionName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" {
		t.Errorf("the Lease is still held by %s", holder)
	}
}

func TestServe(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "made_up_total"}))
	s, err := serve(t.Context(), "127.0.0.1:0", registry)
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	for path, want := range map[string]string{"/healthz": "ok", "/metrics": "made_up_total 0"} {
		response, err := http.Get("http://" + s.address + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("GET %s: %s, %q, %v; want %q", path, response.Status, body, err, want)
		}
	}
}
