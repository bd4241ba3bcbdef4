package sharder

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/clusterring/clusterring/pkg/sharder/config"
)

const kubeconfig = `
apiVersion: v1
kind: Config
clusters: [{name: none, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: none, context: {cluster: none}}]
current-context: none
`

// TestMetricsAreDocumented compares the metrics that a replica has with docs/metrics.md, both ways.
func TestMetricsAreDocumented(t *testing.T) {
	cfg := config.Default()
	cfg.Client.Kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(cfg.Client.Kubeconfig, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	if _, err := New(cfg, registry); err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descs)
		close(descs)
	}()
	desc := regexp.MustCompile(`fqName: "([^"]+)", help: "([^"]*)"`)
	exposed := map[string]string{}
	for d := range descs {
		match := desc.FindStringSubmatch(d.String())
		exposed[match[1]] = match[2]
	}

	doc, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "## Sharder")
	if !found {
		t.Error("there is no section about the sharder")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = true
	}
	for m, help := range exposed {
		if !documented[m] {
			t.Errorf("docs/metrics.md lacks | `%s` | | %s |", m, help)
		}
	}
	for m := range documented {
		if _, ok := exposed[m]; !ok {
			t.Errorf("%s is in docs/metrics.md, but the sharder does not have it", m)
		}
	}
}
