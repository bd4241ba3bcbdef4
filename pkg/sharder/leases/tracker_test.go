package leases

import (
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// begin is when bubbles begin.
var begin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// sleepUntil sleeps to so many seconds after begin.
func sleepUntil(seconds int) { time.Sleep(time.Until(begin.Add(time.Duration(seconds) * time.Second))) }

// renewal returns version n of a Lease.
func renewal(name string, n int, holder string) *coordinationv1.Lease {
	at := metav1.NewMicroTime(begin.Add(time.Duration(n) * time.Second))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "n", Name: name, UID: types.UID("uid-" + name), ResourceVersion: string(rune('a' + n)), Labels: map[string]string{wire.LabelRing: "r"},
		},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(holder), RenewTime: &at},
	}
}

// released returns a free Lease with the word of a holder.
func released(holder string) *coordinationv1.Lease {
	lease := renewal("a", 1, "")
	lease.Annotations = map[string]string{wire.AnnotationReleased: holder}
	return lease
}

func TestTrackerCountsFromFirstSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr := NewTracker(time.Second)
		at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
		check := func(what string, got, want time.Time) {
			t.Helper()
			if !got.Equal(want) {
				t.Errorf("%s: since %s, want %s", what, got, want)
			}
		}
		a, b := renewal("a", 0, "p"), renewal("b", 0, "q")
		check("first sight", tr.Look(a).Since, at(0))
		sleepUntil(5)
		check("seen again", tr.Look(a).Since, at(0))
		check("another", tr.Look(b).Since, at(5))
		tr.Unread(a)
		sleepUntil(6)
		check("an old event after a failed read", tr.Look(a).Since, at(0))
		check("answered after a failed read", tr.Answered(a).Since, at(6))
		check("another is not affected", tr.Look(b).Since, at(5))
		tr.Interrupted()
		sleepUntil(9)
		check("blind", tr.Look(a).Since, at(6))
		tr.Look(renewal("b", 1, "q")) // news
		check("news of another ends blindness", tr.Look(a).Since, at(9))
	})
}

func TestTrackerProof(t *testing.T) {
	tr := NewTracker(time.Second)
	var told int
	tr.Subscribe(func(string) { told++ })
	steps := []struct {
		lease  *coordinationv1.Lease
		proved bool
		told   int
	}{
		{renewal("a", 0, "p"), false, 0},
		{renewal("a", 0, "p"), false, 0},
		{renewal("a", 1, "p"), true, 1},
		{renewal("a", 2, "p"), true, 1},
		{renewal("a", 3, "q"), false, 2}, // a new process has proved nothing
		{renewal("a", 4, "q"), true, 3},
	}
	for i, s := range steps {
		tr.Look(s.lease)
		if got := tr.Proved(s.lease); got != s.proved || told != s.told {
			t.Errorf("step %d: proved %v, told %d times, want %v and %d", i, got, told, s.proved, s.told)
		}
	}
	if tr.Proved(renewal("a", 5, "other")) {
		t.Error("the proof of one holder counts for another")
	}
}

func TestTrackerClear(t *testing.T) {
	tests := map[string]struct {
		do   func(*Tracker, cache.ResourceEventHandler)
		want int // seconds
	}{
		"nothing":           {func(*Tracker, cache.ResourceEventHandler) {}, 61},
		"held, deleted":     {func(_ *Tracker, h cache.ResourceEventHandler) { h.OnDelete(renewal("a", 0, "p")) }, 71},
		"released, deleted": {func(_ *Tracker, h cache.ResourceEventHandler) { h.OnDelete(released("p")) }, 61},
		"emptied, deleted":  {func(_ *Tracker, h cache.ResourceEventHandler) { h.OnDelete(renewal("a", 0, "")) }, 71},
		"released by a holder of before, deleted": {func(_ *Tracker, h cache.ResourceEventHandler) { h.OnDelete(released("q")) }, 71},
		"held for longer than the ring allows now, deleted": {func(_ *Tracker, h cache.ResourceEventHandler) {
			long := renewal("a", 1, "p")
			long.Spec.LeaseDurationSeconds = ptr.To[int32](100)
			h.OnUpdate(renewal("a", 0, "p"), long)
			h.OnDelete(renewal("a", 2, "p"))
		}, 111},
		"ours, deleted": {func(tr *Tracker, h cache.ResourceEventHandler) {
			h.OnDelete(renewal("a", 0, "p"))
			tr.Took(renewal("a", 0, "p"))
		}, 61},
		"ours, then told": {func(tr *Tracker, h cache.ResourceEventHandler) {
			tr.Took(renewal("a", 0, "p"))
			h.OnDelete(renewal("a", 0, "p"))
		}, 61},
		"interrupted": {func(tr *Tracker, _ cache.ResourceEventHandler) { tr.Interrupted() }, 71},
		"lists":       {func(tr *Tracker, _ cache.ResourceEventHandler) { tr.Listing(func() string { return "1" }) }, 81},
		"listed": {func(tr *Tracker, h cache.ResourceEventHandler) {
			version := "1"
			tr.Listing(func() string { return version })
			h.OnUpdate(renewal("a", 0, "p"), renewal("a", 1, "p")) // It was on its way when the list began.
			version = "2"
			h.OnUpdate(renewal("a", 1, "p"), renewal("a", 2, "p"))
		}, 71},
		"free, but only by hearsay": {func(_ *Tracker, h cache.ResourceEventHandler) {
			h.OnDelete(cache.DeletedFinalStateUnknown{Key: "n/a", Obj: released("p")})
		}, 71},
		"another ring's": {func(_ *Tracker, h cache.ResourceEventHandler) {
			other := renewal("a", 0, "p")
			other.Labels[wire.LabelRing] = "other"
			h.OnDelete(other)
		}, 61},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := NewTracker(time.Second)
				tr.Interrupted()
				tr.Look(renewal("a", 0, "p"))
				sleepUntil(10)
				tt.do(tr, tr.handler())
				sleepUntil(20)
				r := &snapshot.Ring{Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}, ShardNamespace: "n", MaxLeaseDuration: 60 * time.Second}
				if got := tr.Clear(r).Sub(begin); got != time.Duration(tt.want)*time.Second {
					t.Errorf("after %s, want %d s", got, tt.want)
				}
			})
		})
	}
}

// TestTrackerDuration: for how long a process can be at work under a Lease that one of a minute held before.
func TestTrackerDuration(t *testing.T) {
	lease := func(holder string, n int, seconds int32) *coordinationv1.Lease {
		l := renewal("a", n, holder)
		l.Spec.LeaseDurationSeconds = &seconds
		return l
	}
	gap := func(tr *Tracker) { tr.Interrupted() }
	look := func(l *coordinationv1.Lease) func(*Tracker) { return func(tr *Tracker) { tr.Look(l) } }
	let := func(l *coordinationv1.Lease, by string) *coordinationv1.Lease {
		l.Annotations = map[string]string{wire.AnnotationReleased: by}
		return l
	}
	tests := map[string]struct {
		steps   []func(*Tracker) // one a second, after one of a minute by p
		last    *coordinationv1.Lease
		want    int // seconds
		shorter int // the second from which on it is 15, 0 for never
	}{
		"shortened":                      {nil, lease("p", 1, 15), 60, 0},
		"released":                       {[]func(*Tracker){look(let(lease("", 1, 60), "p"))}, lease("q", 2, 15), 15, 0},
		"released and back":              {[]func(*Tracker){look(let(lease("", 1, 60), "p"))}, lease("p", 2, 15), 15, 0},
		"emptied":                        {[]func(*Tracker){look(lease("", 1, 15))}, lease("q", 2, 15), 60, 62},
		"released by another":            {[]func(*Tracker){look(let(lease("", 1, 15), "o"))}, lease("q", 2, 15), 60, 62},
		"taken":                          {nil, lease("q", 1, 15), 60, 61},
		"taken, and taken again":         {[]func(*Tracker){look(lease("o", 1, 15))}, lease("q", 2, 15), 60, 61},
		"taken, and not seen for a time": {[]func(*Tracker){look(lease("q", 1, 15)), gap}, lease("q", 2, 15), 60, 64},
		"taken, and put back":            {[]func(*Tracker){look(lease("o", 1, 15))}, lease("p", 0, 15), 60, 61},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr := NewTracker(time.Second)
				tr.Look(lease("p", 0, 60))
				for i, step := range append(tt.steps, look(tt.last)) {
					sleepUntil(i + 1)
					step(tr)
				}
				if got := tr.Look(tt.last).Duration; got != time.Duration(tt.want)*time.Second {
					t.Errorf("%s, want %d s", got, tt.want)
				}
				for _, second := range []int{tt.shorter - 1, tt.shorter} {
					if second > 3 {
						sleepUntil(second)
						if short := tr.Look(tt.last).Duration == 15*time.Second; short != (second == tt.shorter) {
							t.Errorf("after %d s it is short: %v", second, short)
						}
					}
				}
			})
		})
	}
}

// TestTrackerReached: what the events that were seen say about others.
func TestTrackerReached(t *testing.T) {
	event := func(version string) *coordinationv1.Lease {
		lease := renewal("a", 0, "p")
		lease.ResourceVersion = version
		return lease
	}
	tests := map[string]struct {
		do   func(cache.ResourceEventHandler)
		want bool
	}{
		"nothing": {func(cache.ResourceEventHandler) {}, false},
		"added":   {func(h cache.ResourceEventHandler) { h.OnAdd(event("100"), false) }, true},
		"updated": {func(h cache.ResourceEventHandler) { h.OnUpdate(event("99"), event("101")) }, true},
		"deleted": {func(h cache.ResourceEventHandler) { h.OnDelete(event("1000")) }, true},
		"earlier": {func(h cache.ResourceEventHandler) { h.OnUpdate(event("9"), event("99")) }, false},
		"went back, as after a restore": {func(h cache.ResourceEventHandler) {
			h.OnAdd(event("200"), false)
			h.OnUpdate(event("200"), event("50"))
		}, false},
		"by hearsay": {func(h cache.ResourceEventHandler) {
			h.OnDelete(cache.DeletedFinalStateUnknown{Key: "n/a", Obj: event("100")})
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tr := NewTracker(time.Second)
			tt.do(tr.handler())
			if got := tr.Reached("100"); got != tt.want {
				t.Errorf("reached: %v, want %v", got, tt.want)
			}
		})
	}
}
