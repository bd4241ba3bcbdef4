package shard

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
)

func TestConfigProblems(t *testing.T) {
	good := Config{Ring: "r", RESTConfig: &rest.Config{Host: "http://localhost"}, Namespace: "ns", Name: "a"}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"good":               {change: func(*Config) {}},
		"empty":              {change: func(c *Config) { *c = Config{Name: "a"} }, want: []string{"Ring", "RESTConfig", "Namespace"}},
		"ring too long":      {change: func(c *Config) { c.Ring = strings.Repeat("r", 64) }, want: []string{"Ring"}},
		"ring with a slash":  {change: func(c *Config) { c.Ring = "a/b" }, want: []string{"Ring"}},
		"bad durations":      {change: func(c *Config) { c.RenewDeadline, c.ShutdownTimeout = -1, -1 }, want: []string{"RenewDeadline", "ShutdownTimeout"}},
		"bad weight":         {change: func(c *Config) { c.Weight = -1 }, want: []string{"Weight"}},
		"bad REST config":    {change: func(c *Config) { c.RESTConfig = &rest.Config{Host: "::"} }, want: []string{"client for the Lease"}},
		"name too long":      {change: func(c *Config) { c.Name = strings.Repeat("a", 300) }},
		"name of characters": {change: func(c *Config) { c.Name = "Ä_ß" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(EnvPodNamespace, "")
			cfg := good
			tc.change(&cfg)
			_, err := New(cfg)
			if (err == nil) != (len(tc.want) == 0) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %s", err, want)
				}
			}
		})
	}
}

func TestDefaultsFromThePod(t *testing.T) {
	t.Setenv(EnvPodName, "Pod-1")
	t.Setenv(EnvPodNamespace, "pod-ns")
	t.Setenv(EnvPodUID, "uid-1")
	cfg := Config{}.withDefaults()
	got := []string{cfg.Name, cfg.Namespace, cfg.Identity}
	name := ShardName("Pod-1")
	if diff := cmp.Diff([]string{name, "pod-ns", name + "_uid-1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	cfg = Config{Name: "a", Namespace: "ns", Identity: "me"}.withDefaults()
	if diff := cmp.Diff([]string{"a", "ns", "me"}, []string{cfg.Name, cfg.Namespace, cfg.Identity}); diff != "" {
		t.Errorf("what is set must count (-want +got):\n%s", diff)
	}

	t.Setenv(EnvPodName, "")
	t.Setenv(EnvPodUID, "")
	one, two := Config{}.withDefaults(), Config{}.withDefaults()
	if one.Name == "" || one.Name != two.Name || one.Identity == two.Identity {
		t.Errorf("outside of a pod: names %q, %q, identities %q, %q", one.Name, two.Name, one.Identity, two.Identity)
	}
}

func TestCallersConfigIsNotChanged(t *testing.T) {
	config := &rest.Config{Host: "http://localhost", QPS: 7, UserAgent: "mine"}
	before := *config
	s, err := New(Config{Ring: "r", RESTConfig: config, Namespace: "ns", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	fenced := s.RESTConfig()
	if config.WrapTransport != nil || fenced.WrapTransport == nil {
		t.Error("the caller's config was wrapped, or the copy was not")
	}
	if config.QPS != before.QPS || config.UserAgent != before.UserAgent || len(config.NextProtos) > 0 || fenced.QPS != 7 || fenced.UserAgent != "mine" {
		t.Errorf("the caller's config is %v, the copy %v", config, fenced)
	}
}
