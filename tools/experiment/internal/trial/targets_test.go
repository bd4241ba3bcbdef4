package trial

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
)

// TestServeTargets: what a Prometheus server is told to scrape, with credentials and without.
func TestServeTargets(t *testing.T) {
	run := &trial{run: &measure.Run{ID: "r1"}, targets: map[string][]prom.Target{
		"fleet":         {{Job: "sharder", Instance: "sharder-0", URL: "http://127.0.0.1:8000/metrics"}},
		"control plane": {{Job: "apiserver", Instance: "kube-apiserver", URL: "https://127.0.0.1:6443/k8s/a/metrics"}},
	}}
	for query, want := range map[string]string{
		"":              `[{"targets":["127.0.0.1:8000"],"labels":{"__metrics_path__":"/metrics","instance":"sharder-0","job":"sharder","run_id":"r1"}}]`,
		"?scheme=https": `[{"targets":["127.0.0.1:6443"],"labels":{"__metrics_path__":"/k8s/a/metrics","instance":"kube-apiserver","job":"apiserver","run_id":"r1"}}]`,
		"?scheme=other": `[]`,
	} {
		t.Run(query, func(t *testing.T) {
			answer := httptest.NewRecorder()
			run.serveTargets(answer, httptest.NewRequest("GET", "/targets"+query, nil))
			if diff := cmp.Diff(want, strings.TrimSpace(answer.Body.String())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
