package load

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

// change is a generation of a Website and when something became of it.
type change struct {
	generation int64
	at         time.Time
}

// tracked is what is known of a Website.
type tracked struct {
	name    string
	pending []change // asked for, and not seen to be ready
	ready   []change // seen to be ready before the answer to the request was there, rising
	last    int64    // the last generation that was seen to be ready
}

// tracker measures the time from the request for a generation of a Website until it is seen to be ready. Requests and events
// come in any order: an event may be faster than the answer to the request that caused it. It is safe for concurrent use.
type tracker struct {
	duration, latency prometheus.Observer

	mu       sync.Mutex
	websites map[types.UID]*tracked
	gone     map[types.UID]bool // those that were deleted: an answer may come later than that
	done     int                // generations that were seen to be ready, or should have been before their Website was deleted
	late     int                // those of them that took longer than the objective
}

func newTracker(duration, latency prometheus.Observer) *tracker {
	return &tracker{duration: duration, latency: latency, websites: map[types.UID]*tracked{}, gone: map[types.UID]bool{}}
}

// requested says that a generation of the Website with this name was asked for, which was due at begun.
func (t *tracker) requested(name string, uid types.UID, generation int64, begun time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.gone[uid] {
		return
	}
	w := t.website(uid)
	w.name = name
	i := slices.IndexFunc(w.ready, func(r change) bool { return r.generation >= generation })
	if i < 0 {
		w.pending = append(w.pending, change{generation, begun})
		return
	}
	t.took(w.ready[i].at.Sub(begun))
	w.ready = w.ready[i:] // a former generation cannot be asked for any more
}

// seen says that an event showed the Website like this.
func (t *tracker) seen(website *v1alpha1.Website, at time.Time) {
	generation := website.Status.ObservedGeneration
	if website.Status.Phase != v1alpha1.PhaseReady || website.DeletionTimestamp != nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.website(website.UID)
	if generation <= w.last {
		return
	}
	w.last = generation
	if since := website.Status.LastTransitionTime; since != nil {
		t.latency.Observe(max(0, at.Sub(since.Time).Seconds()))
	}
	w.ready = append(w.ready, change{generation, at})
	w.pending = slices.DeleteFunc(w.pending, func(p change) bool {
		if p.generation > generation {
			return false
		}
		t.took(at.Sub(p.at))
		return true
	})
	if len(w.ready) > 2 { // requests for one Website come one after the other
		w.ready = w.ready[1:]
	}
}

// took notes how long it took until a generation was seen to be ready.
func (t *tracker) took(duration time.Duration) {
	t.duration.Observe(duration.Seconds())
	t.count(duration)
}

func (t *tracker) count(duration time.Duration) {
	t.done++
	if duration > Objective {
		t.late++
	}
}

// forget forgets a Website that was deleted by then. What had waited for too long until then was late, too.
func (t *tracker) forget(uid types.UID, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.websites[uid]; ok {
		for _, p := range w.pending {
			if waited := at.Sub(p.at); waited > Objective {
				t.count(waited)
			}
		}
	}
	delete(t.websites, uid)
	t.gone[uid] = true
}

// counts returns how many generations were ready in the end, and how many of them were late.
func (t *tracker) counts() (done, late int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.done, t.late
}

// unfinished returns how many generations were asked for and not seen to be ready.
func (t *tracker) unfinished() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, w := range t.websites {
		n += len(w.pending)
	}
	return n
}

// oldest returns the Website that has waited for longest, and since when. It has no name if none waits.
func (t *tracker) oldest() (name string, since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.websites {
		for _, p := range w.pending {
			if name == "" || p.at.Before(since) {
				name, since = w.name, p.at
			}
		}
	}
	return name, since
}

func (t *tracker) website(uid types.UID) *tracked {
	w, ok := t.websites[uid]
	if !ok {
		w = &tracked{}
		t.websites[uid] = w
	}
	return w
}
