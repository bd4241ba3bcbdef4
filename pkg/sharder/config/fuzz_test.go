package config

import (
	"encoding/json"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// FuzzLoadFile reads files that anybody may have written. What is refused is refused with the name of the file and of the
// field; what is accepted says the same when it is written and read again, and the program can work with it.
func FuzzLoadFile(f *testing.F) {
	const head = "apiVersion: " + APIVersion + "\nkind: " + Kind + "\n"
	f.Add([]byte(head))
	f.Add([]byte(head + "namespace: a\nclient:\n  qps: 0.5\nshards:\n  grace: 7s\nmetrics:\n  profiling: false\n"))
	f.Add([]byte(head + "webhook:\n  url: https://127.0.0.1:9443/\n  certFile: |\n    a file\n"))
	path := filepath.Join(f.TempDir(), "sharder.yaml")
	load := func(t *testing.T, data []byte, c *Sharder) error {
		t.Helper()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return c.LoadFile(path)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Default()
		if err := load(t, data, &c); err != nil {
			if _, problem, ok := strings.Cut(err.Error(), path); !ok || strings.Trim(problem, ": ") == "" {
				t.Errorf("the error does not say what is wrong with the file: %v", err)
			}
			return
		}
		encoded, err := yaml.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		again := Default()
		if err := load(t, encoded, &again); err != nil {
			t.Fatalf("what was read can't be read again: %v\n%s", err, encoded)
		}
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("what was read changes when it is read again:\n%s", diff)
		}

		var over Sharder
		if err := load(t, data, &over); err != nil {
			t.Fatal(err)
		}
		defaults, empty, loaded := fields(t, Default()), fields(t, Sharder{}), fields(t, c)
		for name, value := range fields(t, over) {
			// It is from the file, or it is what it was before.
			if value != loaded[name] && (value != empty[name] || loaded[name] != defaults[name]) {
				t.Errorf("%s is %v, and %v over the defaults, which have %v", name, value, loaded[name], defaults[name])
			}
		}
		checkValidate(t, &c, path, defaults)
	})
}

// checkValidate checks that each problem is one line that begins with a field, and what holds when there is none. file exists.
func checkValidate(t *testing.T, c *Sharder, file string, known map[string]any) {
	t.Helper()
	// What files are there is not up to the input, and opening any would be unwise.
	for _, name := range []*string{&c.Webhook.CertFile, &c.Webhook.KeyFile, &c.Webhook.CAFile} {
		if *name != "" && !strings.Contains(*name, "\n") {
			*name = file
		}
	}
	if err := c.Validate(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			field, problem, _ := strings.Cut(line, ": ")
			if _, ok := known[field]; !ok || problem == "" {
				t.Errorf("the line %q does not say what is wrong with which field", line)
			}
		}
		return
	}
	if qps := float64(c.Client.QPS); math.IsNaN(qps) || qps <= 0 || qps > math.MaxFloat32 {
		t.Errorf("%v requests per second", qps)
	}
	if seconds := c.LeaderElection.LeaseDuration.Seconds(); seconds < 1 || seconds > math.MaxInt32 {
		t.Errorf("a Lease has no room for a duration of %v seconds", seconds)
	}
	if d := c.Labels.AuditInterval.Duration; d+d/10 < time.Second {
		t.Errorf("an audit may be due after %v", d+d/10)
	}
	if c.Webhook.URL == "" {
		return
	}
	const path = "/rings/r/assign"
	u, err := url.Parse(strings.TrimSuffix(c.Webhook.URL, "/") + path)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" || u.Path != path || u.User != nil || strings.ContainsAny(u.String(), "?#") {
		t.Errorf("the webhook's URL %q becomes %v, %v", c.Webhook.URL, u, err)
	}
}

// fields returns the values of a configuration by the names that its fields have in the file.
func fields(t *testing.T, c Sharder) map[string]any {
	t.Helper()
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	flat := map[string]any{}
	var flatten func(prefix string, tree map[string]any)
	flatten = func(prefix string, tree map[string]any) {
		for name, value := range tree {
			if children, ok := value.(map[string]any); ok {
				flatten(prefix+name+".", children)
			} else {
				flat[prefix+name] = value
			}
		}
	}
	flatten("", tree)
	return flat
}
