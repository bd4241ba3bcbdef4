package sharder

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/ktesting"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/certificates"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
)

// embed runs an embedded replica in the namespace until the end of the test, or until it is stopped. It returns its log, too.
func (f *fixture) embed(namespace string) (*running, ktesting.Buffer) {
	f.t.Helper()
	cfg := config.Default()
	cfg.Namespace = namespace
	cfg.LeaderElection.LeaseDuration.Duration = 4 * time.Second
	cfg.LeaderElection.RenewDeadline.Duration = 2 * time.Second
	cfg.LeaderElection.RetryPeriod.Duration = 300 * time.Millisecond
	r := &running{registry: prometheus.NewRegistry()}
	replica, err := NewReplica(ReplicaConfig{Sharder: cfg, Ring: f.ring, RESTConfig: cluster.Config(), Registerer: r.registry})
	if err != nil {
		f.t.Fatal(err)
	}
	logger := ktesting.NewLogger(f.t, ktesting.NewConfig(ktesting.BufferLogs(true)))
	f.run(r, func(ctx context.Context) error { return replica.Run(klog.NewContext(ctx, logger)) })
	return r, logger.GetSink().(ktesting.Underlier).GetBuffer()
}

// says waits until the log has a text.
func says(t *testing.T, log ktesting.Buffer, text string) {
	t.Helper()
	testenv.Poll(t, timeout, func(context.Context) error {
		if s := log.String(); !strings.Contains(s, text) {
			return fmt.Errorf("the log does not say %q:\n%s", text, s)
		}
		return nil
	})
}

func embedded(spec *v1alpha1.ClusterRingSpec) {
	spec.Sharder, spec.Admission = v1alpha1.SharderEmbedded, v1alpha1.AdmissionNone
}

func (f *fixture) deleteRing() {
	f.t.Helper()
	if err := f.rings.ShardingV1alpha1().ClusterRings().Delete(f.t.Context(), f.ring, metav1.DeleteOptions{}); err != nil {
		f.t.Fatal(err)
	}
}

// TestEmbedded: the replicas of an embedded sharder elect one of them, whatever they are told about its Lease, and the installed
// sharder leaves the ring alone.
func TestEmbedded(t *testing.T) {
	f := newFixture(t)
	installed := f.start()
	f.createRing(embedded)
	f.leader(installed)
	first, _ := f.embed(f.shards)
	f.leader(first)
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "None")
	second, _ := f.embed(f.shards)
	f.join("one")
	f.shares(map[string]int{"one": 1024})
	f.join("two")
	f.shares(map[string]int{"one": 512, "two": 512})
	if n := second.value(t, "clusterring_sharder_leading"); n != 0 {
		t.Error("two replicas lead")
	}
	first.stop()
	f.leader(second)
	f.join("three")
	f.shares(map[string]int{"one": 342, "two": 341, "three": 341})
	if n := installed.value(t, "clusterring_sharder_table_writes_total"); n != 0 {
		t.Errorf("the installed sharder has written %g tables", n)
	}
}

// TestEmbeddedServesItsRing: an embedded sharder says why it serves nothing, and ends to serve a ring that is made again for
// another sharder.
func TestEmbeddedServesItsRing(t *testing.T) {
	f := newFixture(t)
	replica, log := f.embed(f.shards)
	says(t, log, "there is no ring of this name")
	f.createRing(embedded)
	f.join("one")
	f.shares(map[string]int{"one": 1024})

	elsewhere := cluster.Namespace(t)
	f.deleteRing()
	f.createRing(embedded, func(s *v1alpha1.ClusterRingSpec) { s.Shards.Namespace = elsewhere })
	says(t, log, "its shards are in the namespace "+elsewhere)
	f.deleteRing()
	f.createRing()
	says(t, log, "the installed sharder serves it")
	wrote := replica.value(t, "clusterring_sharder_table_writes_total")
	object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(t.Context(), f.ring, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if object.Status.Table != nil || len(object.Status.Conditions) > 0 {
		t.Errorf("the embedded sharder has written the status %+v after %g tables", object.Status, wrote)
	}
	f.deleteRing()
	f.createRing(embedded)
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "None")
}

// TestReplicaConfig: what is missing is told before anything is done.
func TestReplicaConfig(t *testing.T) {
	for name, cfg := range map[string]ReplicaConfig{
		"nothing":               {},
		"installed, no webhook": {Sharder: config.Default(), RESTConfig: &rest.Config{}, Recorder: events.NewFakeRecorder(1)},
		"installed, no events":  {Sharder: config.Default(), RESTConfig: &rest.Config{}, Certificates: &certificates.Files{}},
		"embedded, webhook":     {Sharder: config.Default(), RESTConfig: &rest.Config{}, Certificates: &certificates.Files{}, Ring: "r"},
	} {
		if _, err := NewReplica(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewReplica(ReplicaConfig{Sharder: config.Default(), RESTConfig: &rest.Config{}, Ring: "r"}); err != nil {
		t.Error(err)
	}
}
