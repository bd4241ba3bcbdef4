package sim

import (
	"encoding/json"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/types"
)

// What is not promised is in docs/reliability.md. This is how the ledger tells it from what is.

// byHand is what was done to the labels of an object by somebody who takes no part in the protocol, such as a user. Nothing is
// promised of processes that have not heard of it; and nobody but an audit may put it right. Nil is an object to which nothing was done.
type byHand struct {
	// under is how many such requests are under way, by the version of the object that they are about.
	under map[uint64]int
	// version is that of the object after the last of them.
	version uint64
	// last tells whether the labels have not been changed since.
	last bool
}

func (h *byHand) changed(before, after uint64) {
	if h == nil {
		return
	}
	if h.last = h.under[before] > 0; h.last {
		h.version = after
	}
}

// unknownTo tells whether who has seen that version of the object has not heard of it.
func (h *byHand) unknownTo(version uint64) bool { return h != nil && version < h.version }

func (h *byHand) isLast() bool { return h != nil && h.last }

// excuse tells that somebody who takes no part in the protocol is about to change the labels of an object, if it still has that
// version, until done is called.
func (l *ledger) excuse(uid types.UID, version uint64) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hands[uid] == nil {
		l.hands[uid] = &byHand{under: map[uint64]int{}}
	}
	under := l.hands[uid].under
	under[version]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		under[version]--
	}
}

// isByHand tells whether the labels of the object are as somebody has left them who takes no part in the protocol.
func (l *ledger) isByHand(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hands[uid].isLast()
}

// review is what admission came to about a write. What went wrong about one of several writes under way counts.
type review struct {
	at time.Time
	ok bool
}

func reviewKey(resource, namespace, name string) string {
	return resource + "/" + namespace + "/" + name
}

// requestTakes is how long the API server may take for a request, with admission.
const requestTakes = 30 * time.Second

// reviewed notes what admission has come to: ok is an answer with a patch that has reached the API server. A replica that does not
// know the ring or its shards yet has none.
func (l *ledger) reviewed(question []byte, ok bool) {
	var asked admissionv1.AdmissionReview
	if err := json.Unmarshal(question, &asked); err != nil || asked.Request == nil {
		l.add("bug", "no question for admission: %v: %s", err, question)
		return
	}
	key := reviewKey(asked.Request.Resource.Resource, asked.Request.Namespace, asked.Request.Name)
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.reviews[key]; !ok || last.ok || time.Since(last.at) > requestTakes {
		l.reviews[key] = review{time.Now(), ok}
	}
}

// misses tells whether admission may have missed what is written now, to an object without a shard. The ledger must be locked.
func (l *ledger) misses(key string) bool {
	last, ok := l.reviews[key]
	delete(l.reviews, key) // It was about this write.
	return !ok || !last.ok || time.Since(last.at) > requestTakes
}

// isMissed tells whether a child is not with its owner because admission has missed it, or a request to make it came late.
func (l *ledger) isMissed(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missed[uid]
}

// isUnheard tells whether the object has no child because that was deleted at a shard that does not work on the object, which
// nobody has worked on since.
func (l *ledger) isUnheard(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unheard[uid]
}
