package leases

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func testLease(holder string, seconds int32) *coordinationv1.Lease {
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "1", Labels: map[string]string{v1alpha1.LabelRing: testRing}},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds},
	}
}

func TestAbsence(t *testing.T) {
	start := time.Now()
	tests := map[string]struct {
		happens func(tracker *Tracker, c *clocktesting.FakePassiveClock)
		want    Absence
	}{
		"never seen: absent since the first question": {
			happens: func(*Tracker, *clocktesting.FakePassiveClock) {},
			want:    Absence{Since: start.Add(time.Minute)},
		},
		"deleted while it was held": {
			happens: func(tracker *Tracker, _ *clocktesting.FakePassiveClock) {
				tracker.Handler().OnDelete(testLease("p", 20))
			},
			want: Absence{Since: start, Namespace: "ns", Duration: 20 * time.Second},
		},
		"deleted after it was given back": {
			happens: func(tracker *Tracker, _ *clocktesting.FakePassiveClock) {
				tracker.Handler().OnDelete(testLease("", 20))
			},
			want: Absence{Since: start, Namespace: "ns", Duration: 20 * time.Second, Free: true},
		},
		"deleted behind our back": {
			happens: func(tracker *Tracker, _ *clocktesting.FakePassiveClock) {
				tracker.Handler().OnDelete(cache.DeletedFinalStateUnknown{Obj: testLease("", 20)})
			},
			want: Absence{Since: start, Namespace: "ns", Duration: 20 * time.Second},
		},
		"lost the label of the ring": {
			happens: func(tracker *Tracker, _ *clocktesting.FakePassiveClock) {
				unlabelled := testLease("", 20)
				unlabelled.Labels = nil
				tracker.Handler().OnUpdate(testLease("", 20), unlabelled)
			},
			want: Absence{Since: start, Namespace: "ns", Duration: 20 * time.Second},
		},
		"deleted, and the API server went away": {
			happens: func(tracker *Tracker, c *clocktesting.FakePassiveClock) {
				tracker.Handler().OnDelete(testLease("", 20))
				tracker.Interrupted()
				c.SetTime(start.Add(30 * time.Second))
				tracker.Answered(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "other"}})
			},
			want: Absence{Since: start.Add(30 * time.Second), Namespace: "ns", Duration: 20 * time.Second},
		},
		"one of two with the same name was free": {
			happens: func(tracker *Tracker, _ *clocktesting.FakePassiveClock) {
				tracker.Handler().OnDelete(testLease("p", 20))
				tracker.Handler().OnDelete(testLease("", 1))
			},
			want: Absence{Since: start, Namespace: "ns", Duration: 20 * time.Second},
		},
		"deleted, back, and deleted again": {
			happens: func(tracker *Tracker, c *clocktesting.FakePassiveClock) {
				tracker.Handler().OnDelete(testLease("p", 20))
				tracker.Handler().OnAdd(testLease("", 20), false)
				c.SetTime(start.Add(30 * time.Second))
				tracker.Handler().OnDelete(testLease("", 20))
			},
			want: Absence{Since: start.Add(30 * time.Second), Namespace: "ns", Duration: 20 * time.Second, Free: true},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := clocktesting.NewFakePassiveClock(start)
			tracker := NewTracker(c)
			tc.happens(tracker, c)
			c.SetTime(start.Add(time.Minute))
			got := tracker.Absence(testRing, "a")
			if diff := cmp.Diff(tc.want, got, cmpopts.IgnoreUnexported(Absence{})); diff != "" {
				t.Errorf("Absence (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAbsencesAreForgotten: the names of shards come and go, the memory must not grow with them.
func TestAbsencesAreForgotten(t *testing.T) {
	c := clocktesting.NewFakePassiveClock(time.Now())
	tracker := NewTracker(c)
	for range 1000 {
		l := testLease("", 15)
		l.Name = c.Now().String()
		tracker.Handler().OnDelete(l)
		c.SetTime(c.Now().Add(time.Minute))
	}
	if got := len(tracker.absent); got > 12 {
		t.Errorf("%d absences are remembered", got)
	}
}

// TestSinceIgnoresWhatIsNoRenewal: the sharder's own mark on a Lease must not look like a sign of life.
func TestSinceIgnoresWhatIsNoRenewal(t *testing.T) {
	start := time.Now()
	c := clocktesting.NewFakePassiveClock(start)
	tracker := NewTracker(c)
	l := testLease("p", 15)
	tracker.Since(l)
	c.SetTime(start.Add(10 * time.Second))
	marked := l.DeepCopy()
	marked.Labels[v1alpha1.LabelState] = "expired"
	marked.ResourceVersion = "2"
	if got := tracker.Since(marked); !got.Equal(start) {
		t.Errorf("a mark counts as a renewal: seen %s after the start", got.Sub(start))
	}
	marked.Spec.RenewTime = ptr.To(metav1.NewMicroTime(start))
	if got := tracker.Since(marked); !got.Equal(c.Now()) {
		t.Errorf("a renewal does not count: seen %s after the start", got.Sub(start))
	}
}
