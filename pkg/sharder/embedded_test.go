package sharder

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/rings"
)

// embed runs an embedded replica under the Lease until the end of the test.
func (f *fixture) embed(lease string) (*running, *events.FakeRecorder) {
	f.t.Helper()
	cfg := config.Default()
	cfg.Namespace = f.shards
	cfg.LeaderElection = config.LeaderElection{
		LeaseName: lease, LeaseDuration: metav1.Duration{Duration: 4 * time.Second},
		RenewDeadline: metav1.Duration{Duration: 2 * time.Second}, RetryPeriod: metav1.Duration{Duration: 300 * time.Millisecond},
	}
	r, recorder := &running{registry: prometheus.NewRegistry()}, events.NewFakeRecorder(1000)
	replica, err := NewReplica(ReplicaConfig{Sharder: cfg, Ring: f.ring, RESTConfig: cluster.Config(), Recorder: recorder, Registerer: r.registry})
	if err != nil {
		f.t.Fatal(err)
	}
	f.run(r, replica.Run)
	return r, recorder
}

func embedded(spec *v1alpha1.ClusterRingSpec) {
	spec.Sharder, spec.Admission = v1alpha1.SharderEmbedded, v1alpha1.AdmissionNone
}

// TestEmbedded: of two embedded sharders with Leases of their own one works, and the other waits, says so, and takes over. The
// installed sharder leaves the ring alone.
func TestEmbedded(t *testing.T) {
	f := newFixture(t)
	installed := f.start()
	f.createRing(embedded)
	f.leader(installed)
	first, _ := f.embed("first")
	f.leader(first)
	f.condition(rings.AdmissionConfigured, metav1.ConditionTrue, "None")
	f.join("one")
	f.shares(map[string]int{"one": 1024})

	second, recorder := f.embed("second")
	testenv.Poll(t, timeout, func(context.Context) error {
		select {
		case event := <-recorder.Events:
			if !strings.Contains(event, "AnotherInstallation") {
				return fmt.Errorf("the second sharder says %q", event)
			}
			return nil
		default:
			return errors.New("the second sharder says nothing")
		}
	})
	f.join("two")
	f.shares(map[string]int{"one": 512, "two": 512})
	for name, other := range map[string]*running{"second": second, "installed": installed} {
		if n := other.value(t, "clusterring_sharder_table_writes_total"); n != 0 {
			t.Errorf("the %s sharder has written %g tables", name, n)
		}
	}
	first.stop()
	f.leader(second)
	f.join("three")
	f.shares(map[string]int{"one": 342, "two": 341, "three": 341})
	object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(t.Context(), f.ring, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if want := f.shards + "/second"; object.Status.Sharder != want {
		t.Errorf("status.sharder is %q, want %q", object.Status.Sharder, want)
	}
	if n := installed.value(t, "clusterring_sharder_table_writes_total"); n != 0 {
		t.Errorf("the installed sharder has written %g tables", n)
	}
}

// TestEmbeddedLeavesOthers: a ring of the installed sharder, or with shards in another namespace, is none of an embedded one.
func TestEmbeddedLeavesOthers(t *testing.T) {
	for name, edit := range map[string]func(*v1alpha1.ClusterRingSpec){
		"ring of the installed sharder": func(*v1alpha1.ClusterRingSpec) {},
		"shards elsewhere":              func(s *v1alpha1.ClusterRingSpec) { embedded(s); s.Shards.Namespace = "elsewhere" },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.createRing(edit)
			replica, _ := f.embed("sharder")
			// It holds its Lease for a while, and finds that there is nothing to lead.
			testenv.Poll(t, timeout, func(ctx context.Context) error {
				lease, err := f.kube.CoordinationV1().Leases(f.shards).Get(ctx, "sharder", metav1.GetOptions{})
				if err == nil && (lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Sub(lease.Spec.AcquireTime.Time) < 2*time.Second) {
					err = fmt.Errorf("nobody has renewed for long: %+v", lease.Spec)
				}
				return err
			})
			if replica.value(t, "clusterring_sharder_leading") != 0 {
				t.Error("the embedded sharder leads")
			}
			object, err := f.rings.ShardingV1alpha1().ClusterRings().Get(t.Context(), f.ring, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if object.Status.Sharder != "" {
				t.Errorf("the embedded sharder %s has taken the ring", object.Status.Sharder)
			}
		})
	}
}

// TestReplicaConfig: what is missing is told before anything is done.
func TestReplicaConfig(t *testing.T) {
	for name, cfg := range map[string]ReplicaConfig{
		"nothing":               {},
		"installed, no webhook": {Sharder: config.Default(), RESTConfig: &rest.Config{}},
	} {
		if _, err := NewReplica(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewReplica(ReplicaConfig{Sharder: config.Default(), RESTConfig: &rest.Config{}, Ring: "r"}); err != nil {
		t.Error(err)
	}
}
