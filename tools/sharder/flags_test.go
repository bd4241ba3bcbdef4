package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/pkg/sharder/config"
)

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sharder.yaml")
	content := "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\nshards:\n  grace: 7s\nclient:\n  burst: 11\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args     []string
		change   func(*config.Sharder)
		wantErrs []string
	}{
		"nothing": {change: func(*config.Sharder) {}},
		"flag over default": {
			args:   []string{"--kube-api-burst=5", "-v=4"},
			change: func(c *config.Sharder) { c.Client.Burst = 5 },
		},
		"flag over file over default": {
			args: []string{"--kube-api-burst=5", "--config=" + file},
			change: func(c *config.Sharder) {
				c.Client.Burst = 5
				c.Shards.Grace.Duration = 7 * time.Second
			},
		},
		"unknown flag":          {args: []string{"--grace=1s"}, wantErrs: []string{"--grace"}},
		"value of another type": {args: []string{"--kube-api-burst=many"}, wantErrs: []string{"--kube-api-burst", "many"}},
		"argument":              {args: []string{"run"}, wantErrs: []string{`"run"`}},
		"no such file":          {args: []string{"--config=" + file + ".none"}, wantErrs: []string{"--config", file + ".none"}},
		"several problems": {
			args:     []string{"--shard-grace=-1s", "--tls-cert-file=" + file},
			wantErrs: []string{"--shard-grace", "--tls-private-key-file", "--tls-ca-file", "webhook.caFile"},
		},
		"unreadable certificate": {
			args:     []string{"--tls-cert-file=" + file + ".none", "--tls-private-key-file=" + file, "--tls-ca-file=" + file},
			wantErrs: []string{"--tls-cert-file", "no such file"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parse(tc.args, textlogger.NewConfig(), &bytes.Buffer{})
			if tc.wantErrs != nil {
				for _, want := range tc.wantErrs {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("parse() error = %v, want it to contain %q", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := config.Default()
			tc.change(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("parse() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestHelpNamesEveryFlag(t *testing.T) {
	var help bytes.Buffer
	if _, err := parse([]string{"--help"}, textlogger.NewConfig(), &help); !errors.Is(err, errAnswered) {
		t.Fatalf("parse(--help) = %v", err)
	}
	for field, name := range flagOf {
		if !strings.Contains(help.String(), "--"+name) {
			t.Errorf("the help has no flag --%s for the field %s", name, field)
		}
	}
}

func TestVersion(t *testing.T) {
	defer func() { version, revision = "", "" }()
	version, revision = "v1.2.3", "abcdef"
	var out bytes.Buffer
	if _, err := parse([]string{"--version", "--config=" + filepath.Join(t.TempDir(), "none")}, textlogger.NewConfig(), &out); !errors.Is(err, errAnswered) {
		t.Fatalf("parse(--version) = %v", err)
	}
	if want := "sharder v1.2.3 (revision abcdef, go"; !strings.HasPrefix(out.String(), want) {
		t.Errorf("--version prints %q, want it to start with %q", out.String(), want)
	}
}
