package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cable is where requests are whose sender has given up on them, or is gone. Until faults end, they arrive late or never. It is
// safe for concurrent use.
type cable struct {
	late sync.WaitGroup
	// about is about how late requests are, if that is not left to chance.
	about time.Duration
	// calm ends when faults do.
	calm     context.Context
	calmDown context.CancelFunc

	mu     sync.Mutex
	closed bool
}

func newCable(about time.Duration) *cable {
	w := &cable{about: about}
	w.calm, w.calmDown = context.WithCancel(context.Background())
	return w
}

// later runs f, which is to end soon when there are no faults any more.
func (w *cable) later(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.late.Go(f)
	}
}

// close returns when nothing is under way any more.
func (w *cable) close() {
	w.calmDown()
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.late.Wait()
}

// timeoutOf returns the timeout that a request was sent with, after which an API server does not carry it out.
func timeoutOf(req *http.Request) (time.Duration, bool) {
	d, err := time.ParseDuration(req.URL.Query().Get("timeout"))
	return d, err == nil && d > 0
}

// objectOf returns the main object that a request is about, by the path of it or of what it controls. body is asked for the name
// of what is to be made.
func objectOf(req *http.Request, body []byte) (k key, ok bool) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	// api/v1/namespaces/<namespace>/<resource>[/<name>]
	if len(parts) < 5 || parts[0] != "api" || parts[2] != "namespaces" {
		return key{}, false
	}
	if resource := parts[4]; resource != mains.Resource && resource != children.Resource {
		return key{}, false
	}
	k = key{Namespace: parts[3]}
	if len(parts) > 5 {
		k.Name = parts[5]
	} else {
		k.Name = nameIn(body)
	}
	return k, k.Name != ""
}

// nameIn returns the name of the object that a request is to make.
func nameIn(body []byte) string {
	var object metav1.PartialObjectMetadata
	_ = json.Unmarshal(body, &object)
	return object.Name
}
