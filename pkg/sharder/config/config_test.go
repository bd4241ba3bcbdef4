package config

import (
	"math"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaultIsValid(t *testing.T) {
	c := Default()
	if err := c.Validate(); err != nil {
		t.Fatalf("Default() is not valid: %v", err)
	}
}

func TestLoadFile(t *testing.T) {
	const head = "apiVersion: " + APIVersion + "\nkind: " + Kind + "\n"
	for name, tc := range map[string]struct {
		file    string
		change  func(*Sharder)
		wantErr string
	}{
		"a field that is named replaces the default": {
			file:   head + "shards:\n  grace: 7s\n",
			change: func(c *Sharder) { c.Shards.Grace.Duration = 7 * time.Second },
		},
		"the neighbours of a named field stay": {
			file:   head + "leaderElection:\n  leaseName: other\n",
			change: func(c *Sharder) { c.LeaderElection.LeaseName = "other" },
		},
		"unknown field":     {file: head + "shard:\n  grace: 7s\n", wantErr: `unknown field "shard"`},
		"unknown sub-field": {file: head + "shards:\n  grce: 7s\n", wantErr: `unknown field "shards.grce"`},
		"repeated field":    {file: head + "namespace: a\nnamespace: b\n", wantErr: `key "namespace" already set`},
		"wrong type":        {file: head + "client:\n  burst: many\n", wantErr: "client.burst"},
		"wrong duration":    {file: head + "shards:\n  grace: soon\n", wantErr: `invalid duration "soon"`},
		"another kind":      {file: "apiVersion: v1\nkind: ConfigMap\n", wantErr: "it must begin with apiVersion"},
		"no YAML":           {file: "{", wantErr: "yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "sharder.yaml")
			if err := os.WriteFile(path, []byte(tc.file), 0o600); err != nil {
				t.Fatal(err)
			}
			got := Default()
			err := got.LoadFile(path)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) || !strings.Contains(err.Error(), path) {
					t.Fatalf("LoadFile() error = %v, want one that names %s and contains %q", err, path, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := Default()
			tc.change(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("LoadFile() (-want +got):\n%s", diff)
			}
		})
	}
	c := Default()
	if err := c.LoadFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("LoadFile() of a file that does not exist: no error")
	}
}

func TestValidateReportsEveryProblemWithItsField(t *testing.T) {
	c := Default()
	c.Namespace = "Not A Name"
	c.Client.QPS, c.Client.Burst = 0, 0
	c.LeaderElection.LeaseDuration.Duration = 1500 * time.Millisecond
	c.LeaderElection.RenewDeadline.Duration = 2 * time.Second
	c.LeaderElection.RetryPeriod.Duration = 2 * time.Second
	c.Webhook.BindAddress = "9443"
	c.Webhook.URL = "http://127.0.0.1:9443"
	c.Webhook.CertFile = filepath.Join(t.TempDir(), "none")
	c.Metrics.BindAddress = "example.com:80"
	c.Shards.Grace.Duration = -1
	c.Labels.AuditInterval.Duration = 0
	c.Labels.ConcurrentWrites = 0

	want := []string{
		"client.burst", "client.qps",
		"labels.auditInterval", "labels.concurrentWrites",
		"leaderElection.leaseDuration", "leaderElection.renewDeadline", "leaderElection.retryPeriod",
		"metrics.bindAddress", "namespace", "shards.grace",
		"webhook.bindAddress", "webhook.caFile", "webhook.certFile", "webhook.keyFile", "webhook.url",
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("Validate() = nil")
	}
	var got []string
	for _, line := range strings.Split(err.Error(), "\n") {
		field, _, _ := strings.Cut(line, ":")
		got = append(got, field)
	}
	sort.Strings(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields with a problem (-want +got):\n%s\n%v", diff, err)
	}
}

// TestValidateLimits: values that only look as if they could be worked with.
func TestValidateLimits(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Sharder)
		want   string
	}{
		"no number": {
			func(c *Sharder) { c.Client.QPS = float32(math.NaN()) },
			"client.qps: must be a number above 0, is NaN",
		},
		"infinite": {
			func(c *Sharder) { c.Client.QPS = float32(math.Inf(1)) },
			"client.qps: must be a number above 0, is +Inf",
		},
		"longer than a Lease can say": {
			func(c *Sharder) { c.LeaderElection.LeaseDuration.Duration = (math.MaxInt32 + 1) * time.Second },
			"leaderElection.leaseDuration: must be whole seconds, between 1s and 596523h14m7s, is 596523h14m8s",
		},
		"an interval that overflows with a tenth more": {
			func(c *Sharder) { c.Labels.AuditInterval.Duration = math.MaxInt64 },
			"labels.auditInterval: must be between 1s and 8760h0m0s, is 2562047h47m16.854775807s",
		},
		"more than one line": {
			func(c *Sharder) { c.Metrics.BindAddress = "a\nb" },
			`metrics.bindAddress: must be host:port, is "a\nb": address a\nb: missing port in address`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			tc.change(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("Validate() = nil")
			}
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("Validate() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestValidateWebhook(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*Webhook)
		wantErr string
	}{
		"URL with a path":            {func(w *Webhook) { w.URL = "https://127.0.0.1:9443/x" }, "webhook.url"},
		"URL with a slash":           {func(w *Webhook) { w.URL = "https://127.0.0.1:9443/" }, ""},
		"service port":               {func(w *Webhook) { w.ServicePort = 70000 }, "webhook.servicePort"},
		"service name":               {func(w *Webhook) { w.ServiceName = "" }, "webhook.serviceName"},
		"URL with an empty query":    {func(w *Webhook) { w.URL = "https://127.0.0.1:9443?" }, "webhook.url"},
		"URL with an empty fragment": {func(w *Webhook) { w.URL = "https://127.0.0.1:9443/#" }, "webhook.url"},
		"URL without a host":         {func(w *Webhook) { w.URL = "https://:9443" }, "webhook.url"},
		"no Service for URL":         {func(w *Webhook) { w.URL, w.ServiceName = "https://a:1", "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := Default()
			tc.change(&c.Webhook)
			err := c.Validate()
			if tc.wantErr == "" && err != nil {
				t.Errorf("Validate() = %v", err)
			}
			if tc.wantErr != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.wantErr)) {
				t.Errorf("Validate() = %v, want a problem with %s", err, tc.wantErr)
			}
		})
	}
}
