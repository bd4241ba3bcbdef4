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
	// under is how many such requests are under way.
	under int
	// version is that of the object after the last of them.
	version uint64
	// last tells whether the labels have not been changed since.
	last bool
}

func (h *byHand) changed(version uint64) {
	if h == nil {
		return
	}
	if h.last = h.under > 0; h.last {
		h.version = version
	}
}

// unknownTo tells whether who has seen that version of the object has not heard of it.
func (h *byHand) unknownTo(version uint64) bool { return h != nil && version < h.version }

func (h *byHand) isLast() bool { return h != nil && h.last }

// excuse tells that somebody who takes no part in the protocol is about to change the labels of an object, until done is called.
func (l *ledger) excuse(uid types.UID) (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hands[uid] == nil {
		l.hands[uid] = &byHand{}
	}
	h := l.hands[uid]
	h.under++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		h.under--
	}
}

// isByHand tells whether the labels of the object are as somebody has left them who takes no part in the protocol.
func (l *ledger) isByHand(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hands[uid].isLast()
}

// review is what admission came to about an object.
type review struct {
	at time.Time
	ok bool
}

func reviewKey(resource, namespace, name string) string {
	return resource + "/" + namespace + "/" + name
}

// reviewed notes what admission has come to. What went wrong counts for as long as a request may take.
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

// requestTakes is how long the API server may take for a request, with admission.
const requestTakes = 30 * time.Second

// missedBy tells whether admission may have missed what is written to the object now.
func (l *ledger) missedBy(key string) bool {
	last, ok := l.reviews[key]
	return !ok || !last.ok || time.Since(last.at) > requestTakes
}

// isUnheard tells whether the object has no child because that was deleted at a shard that does not work on the object.
func (l *ledger) isUnheard(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unheard[uid]
}

// isMissed tells whether the child has no shard because admission has missed it.
func (l *ledger) isMissed(uid types.UID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missed[uid]
}
