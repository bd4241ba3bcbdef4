package load

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

// observations are what a tracker measured, in milliseconds.
type observations []int64

func (o *observations) Observe(seconds float64) { *o = append(*o, int64(seconds*1000+0.5)) }

func TestTracker(t *testing.T) {
	const pending, ready, failed = v1alpha1.PhasePending, v1alpha1.PhaseReady, v1alpha1.PhaseError
	type step struct {
		at         int // milliseconds after the beginning
		requested  int64
		begun      int
		seen       int64
		phase      v1alpha1.Phase
		transition int // when the status was written
		deleted    bool
	}
	for name, tc := range map[string]struct {
		steps      []step
		duration   observations
		latency    observations
		unfinished int
		late       int
	}{
		"created": {
			steps:    []step{{requested: 1, begun: 10}, {at: 50, seen: 0, phase: ""}, {at: 60, seen: 1, phase: pending}, {at: 90, seen: 1, phase: ready, transition: 85}},
			duration: observations{80}, latency: observations{5},
		},
		"the event is first": {
			steps:    []step{{at: 30, seen: 1, phase: ready, transition: 28}, {at: 40, requested: 1, begun: 10}},
			duration: observations{20}, latency: observations{2},
		},
		"changed": {
			steps: []step{
				{requested: 1}, {at: 10, seen: 1, phase: ready, transition: 10},
				{requested: 2, begun: 100}, {at: 110, seen: 1, phase: ready, transition: 10}, {at: 150, seen: 2, phase: ready, transition: 149},
			},
			duration: observations{10, 50}, latency: observations{0, 1},
		},
		"changed, and the event is first": {
			steps: []step{
				{requested: 1}, {at: 10, seen: 1, phase: ready, transition: 10},
				{at: 150, seen: 2, phase: ready, transition: 150}, {requested: 2, begun: 100},
			},
			duration: observations{10, 50}, latency: observations{0, 0},
		},
		"one is skipped": {
			steps:    []step{{requested: 1}, {requested: 2, begun: 20}, {at: 100, seen: 2, phase: ready, transition: 100}},
			duration: observations{100, 80}, latency: observations{0},
		},
		"one is skipped, and the event is first": {
			steps:    []step{{requested: 1}, {at: 100, seen: 3, phase: ready, transition: 100}, {requested: 2, begun: 20}, {requested: 3, begun: 70}},
			duration: observations{100, 80, 30}, latency: observations{0},
		},
		"not the same event twice": {
			steps:    []step{{requested: 1}, {at: 10, seen: 1, phase: ready, transition: 9}, {at: 20, seen: 1, phase: ready, transition: 9}},
			duration: observations{10}, latency: observations{1},
		},
		"an error is not ready": {steps: []step{{requested: 1}, {at: 10, seen: 1, phase: failed, transition: 9}}, unfinished: 1},
		"answered when it is gone": {steps: []step{
			{requested: 1}, {at: 10, seen: 1, phase: ready, transition: 9}, {at: 20, deleted: true}, {at: 30, requested: 2, begun: 15},
		}, duration: observations{10}, latency: observations{1}},
		"late": {steps: []step{{requested: 1}, {at: 5001, seen: 1, phase: ready, transition: 5001}}, duration: observations{5001}, latency: observations{0}, late: 1},
		"late, and the event is first": {
			steps:    []step{{at: 5001, seen: 1, phase: ready, transition: 5001}, {requested: 1}},
			duration: observations{5001}, latency: observations{0}, late: 1,
		},
		"deleted too late": {steps: []step{{requested: 1}, {requested: 2, begun: 10}, {at: 5005, deleted: true}}, late: 1},
		"not any more":     {steps: []step{{requested: 1}, {requested: 2}, {at: 10, deleted: true}}},
	} {
		t.Run(name, func(t *testing.T) {
			var duration, latency observations
			tr := newTracker(&duration, &latency)
			start := time.Unix(1_700_000_000, 0)
			at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
			for _, s := range tc.steps {
				switch {
				case s.deleted:
					tr.forget(types.UID("x"), at(s.at))
				case s.requested > 0:
					tr.requested("site", "x", s.requested, at(s.begun))
				default:
					since := metav1.NewMicroTime(at(s.transition))
					tr.seen(&v1alpha1.Website{ObjectMeta: metav1.ObjectMeta{UID: "x"},
						Status: v1alpha1.WebsiteStatus{ObservedGeneration: s.seen, Phase: s.phase, LastTransitionTime: &since}}, at(s.at))
				}
			}
			if diff := cmp.Diff(tc.duration, duration); diff != "" {
				t.Errorf("durations (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.latency, latency); diff != "" {
				t.Errorf("latencies (-want +got):\n%s", diff)
			}
			if got := tr.unfinished(); got != tc.unfinished {
				t.Errorf("%d unfinished, want %d", got, tc.unfinished)
			}
			if done, late := tr.counts(); late != tc.late || done < len(duration) {
				t.Errorf("%d late of %d, want %d", late, done, tc.late)
			}
			if name, since := tr.oldest(); (name == "site") != (tc.unfinished > 0) || (name != "" && !since.Equal(start)) {
				t.Errorf("%q has waited for longest, since %s", name, since)
			}
		})
	}
}
