package shard

import (
	"fmt"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// TestMetricsBeforeRun: metrics are read while the controller still names its
// resources. Without -race it rarely fails.
func TestMetricsBeforeRun(t *testing.T) {
	registry := prometheus.NewRegistry()
	s, err := New(Config{
		Ring: "r", RESTConfig: &rest.Config{Host: "http://shard.invalid"}, Namespace: "default", Name: "a", Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for range 100 {
			if _, err := registry.Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 100 {
		s.Resource(schema.GroupVersionKind{Version: "v1", Kind: fmt.Sprint("Kind", i)})
	}
	reading.Wait()
}
