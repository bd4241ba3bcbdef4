package main

import (
	"context"
	"fmt"
	"syscall"
	"testing"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/testenv"
)

// TestSingleton: one of two replicas works, and when it is killed the other goes on.
func TestSingleton(t *testing.T) {
	c := newCompany(t)
	c.stage.Build("examples/webhosting")
	first := c.start("first", "--setup=singleton")
	c.waitElected("first")
	second := c.start("second", "--setup=singleton")
	for _, name := range c.createWebsites("before", 5) {
		c.waitPhase(name, v1alpha1.PhaseReady)
	}
	if got := c.metric(second, "kube_website_info"); len(got) > 0 {
		t.Errorf("the replica that waits has metrics of Websites: %v", got)
	}
	want := fmt.Sprintf(`kube_website_status_phase{namespace=%q,phase="Ready",website="before-0"} 1`, c.namespace)
	testenv.Poll(t, patience, func(context.Context) error { // the leader sees what it has written a moment later
		if len(c.metric(first, want)) == 0 {
			return fmt.Errorf("the leader has no metric %s, but %v", want, c.metric(first, "kube_website_status_phase"))
		}
		return nil
	})
	for _, want := range []string{
		`workqueue_queue_duration_seconds_bucket{name="website",le="1"}`, "rest_client_requests_total", "go_memory_classes_heap_unused_bytes",
		"process_cpu_seconds_total", "kube_website_metadata_generation", "kube_website_status_observed_generation",
		fmt.Sprintf("kube_theme_info{theme=%q} 1", c.theme), "kube_theme_metadata_generation",
	} {
		if len(c.metric(first, want)) == 0 {
			t.Errorf("the leader has no metric %s", want)
		}
	}
	c.end(first, syscall.SIGKILL)
	for _, name := range c.createWebsites("after", 5) {
		c.waitPhase(name, v1alpha1.PhaseReady)
	}
	c.checkRecords()
	c.wantReleased(electionName)
}

// TestRing: two shards share the Websites, also when one leaves, comes back, or is killed.
func TestRing(t *testing.T) {
	c := newCompany(t, "examples/webhosting/config/ring.yaml")
	c.stage.Build("tools/sharder", "examples/webhosting")
	t.Cleanup(c.deleteRing)
	c.hurry()
	c.stage.StartSharder("tools/sharder")
	one := c.start("one")
	c.start("two")
	names := c.createWebsites("museum", 20)
	c.waitShards("one", "two")
	testenv.Poll(t, patience, func(context.Context) error { // it forgets a moment later what it had before the other came
		if got, want := len(c.metric(one, "kube_website_info")), c.count("one"); got != want {
			return fmt.Errorf("shard one has metrics of %d Websites, and %d Websites", got, want)
		}
		return nil
	})

	c.end(one, syscall.SIGTERM)
	c.waitShards("two")
	one = c.start("one")
	for _, name := range names { // something to do while they move
		c.patchWebsite(name, `{"metadata":{"annotations":{"a":"b"}}}`)
	}
	c.waitShards("one", "two")
	c.end(one, syscall.SIGKILL)
	c.waitShards("two")
	c.checkRecords()
	c.wantReleased("two")
}
