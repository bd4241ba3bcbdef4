package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// wire is where requests are whose sender has given up on them, or is gone. Until faults end, they arrive late or never. The wire
// also knows what docs/reliability.md does not promise of late requests. It is safe for concurrent use.
type wire struct {
	late sync.WaitGroup
	// about is about how late requests are, if that is not left to chance.
	about time.Duration
	// calm ends when faults do.
	calm     context.Context
	calmDown context.CancelFunc
	// excuse is told of a request that changes an object of that version in a way of which nothing is promised, until done is called.
	excuse func(uid types.UID, version uint64) (done func())

	mu     sync.Mutex
	closed bool
	// arriving are the objects, each in its version, of which late requests to let go of them arrive at this moment, or, without one,
	// to make them.
	arriving map[string]int
	// failed is when an API server last failed to let the sharder write to an object, by its path, and ringGone when the ring
	// was last deleted.
	failed   map[string]time.Time
	ringGone time.Time
}

func newWire(about time.Duration, excuse func(types.UID, uint64) func()) *wire {
	w := &wire{about: about, excuse: excuse, arriving: map[string]int{}, failed: map[string]time.Time{}}
	w.calm, w.calmDown = context.WithCancel(context.Background())
	return w
}

// later runs f, which is to end soon when there are no faults any more.
func (w *wire) later(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.late.Go(f)
	}
}

// close returns when nothing is under way any more.
func (w *wire) close() {
	w.calmDown()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.late.Wait()
}

// labelling is a patch of the labels of an object. Shards make it without a UID, the sharder with one.
type labelling struct {
	Metadata struct {
		UID             types.UID      `json:"uid"`
		ResourceVersion string         `json:"resourceVersion"`
		Labels          map[string]any `json:"labels"`
	} `json:"metadata"`
}

// labellingOf returns what a request says about the shard of an object, if it does.
func labellingOf(p parcel) (l labelling, ok bool) {
	if p.req.Method != http.MethodPatch || json.Unmarshal(p.body, &l) != nil {
		return l, false
	}
	_, ok = l.Metadata.Labels[v1alpha1.ShardLabel(ringName)]
	return l, ok
}

// arrives notes that a request comes to an API server, and excuses what may come of it:
//
//   - A late request of a shard may take a child from that shard while it works on the owner, or make one that is not with its owner.
//   - A request of the sharder may take an object from a shard that works on it, if an API server has failed to let the sharder
//     write to the object since it was sent, or if the ring has been deleted since.
//
// The result is to be called when the request has been served.
func (w *wire) arrives(p parcel, late bool) (served func()) {
	l, ok := labellingOf(p)
	key := ""
	switch {
	case ok && l.Metadata.UID != "" && w.overruled(p):
		version, _ := strconv.ParseUint(l.Metadata.ResourceVersion, 10, 64)
		return w.excuse(l.Metadata.UID, version)
	case ok && l.Metadata.UID == "" && late:
		key = version(p.req.URL.Path, l.Metadata.ResourceVersion)
	case late && p.req.Method == http.MethodPost:
		key = version(p.req.URL.Path+"/"+nameIn(p.body), "")
	}
	if key == "" {
		return func() {}
	}
	w.count(key, 1)
	return func() { w.count(key, -1) }
}

func (w *wire) overruled(p parcel) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed[p.req.URL.Path].After(p.sent) || w.ringGone.After(p.sent)
}

func (w *wire) count(key string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.arriving[key] += n; w.arriving[key] == 0 {
		delete(w.arriving, key)
	}
}

// arrivesLate tells whether a late request to let go of the object in that version, or to make it if that is empty, arrives at
// this moment.
func (w *wire) arrivesLate(r simapi.Resource, object metav1.Object, ofVersion string) bool {
	path := fmt.Sprintf("/namespaces/%s/%s/%s", object.GetNamespace(), r.Resource, object.GetName())
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.arriving[version(path, ofVersion)] > 0
}

// nameIn returns the name of the object that a request is to make.
func nameIn(body []byte) string {
	var object metav1.PartialObjectMetadata
	_ = json.Unmarshal(body, &object)
	return object.Name
}

// version names an object in a version by its path, which may begin with the API.
func version(path, resourceVersion string) string {
	return path[max(0, strings.Index(path, "/namespaces/")):] + " " + resourceVersion
}

// fails notes that an API server fails on a request. Of the sharder's, whatever they write counts.
func (w *wire) fails(p parcel) {
	if l, _ := labellingOf(p); l.Metadata.UID == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed[p.req.URL.Path] = time.Now()
}

// seen is told of every change of the storage.
func (w *wire) seen(r simapi.Resource, new map[string]any) {
	if r.Resource != "clusterrings" || new != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ringGone = time.Now()
}
