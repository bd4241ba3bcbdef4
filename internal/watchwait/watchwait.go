// Package watchwait makes watches wait for an API server that can't be reached, in place of failing.
//
// A reflector of client-go tries again after a time that doubles with each failure, up to half a minute to a minute, and an
// informer gives no way to change that. So caches can stay old for a minute after the API server is back. A watch that waits
// in the transport, and asks every second, is there a second after it. The API server is not asked more often than by any
// process that has just started, and everything that it refuses is still left to the reflector's own patience.
//
// Only watches wait. All other requests fail at once, because the time that they take may mean something to their caller.
package watchwait

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"time"
)

// interval is the mean time between two attempts.
const interval = time.Second

// Wrap returns a wrapper for the transport of a rest.Config. Each attempt of a watch that finds no server is told to failed,
// which must be safe for concurrent use, and may be nil. A watch waits until its context ends.
func Wrap(failed func(error)) func(http.RoundTripper) http.RoundTripper {
	if failed == nil {
		failed = func(error) {}
	}
	return func(next http.RoundTripper) http.RoundTripper { return &transport{next: next, failed: failed} }
}

type transport struct {
	next   http.RoundTripper
	failed func(error)
}

func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	for {
		response, err := t.next.RoundTrip(request)
		if err == nil || !isWatch(request) || !unreached(err) {
			return response, err
		}
		t.failed(err)
		select {
		case <-request.Context().Done():
			return nil, err
		case <-time.After(interval/2 + rand.N(interval)):
		}
	}
}

// WrappedRoundTripper lets client-go find the transport below.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.next }

func isWatch(request *http.Request) bool {
	return request.Method == http.MethodGet && request.URL.Query().Get("watch") != ""
}

// unreached tells whether the request was never sent, because there was no connection to send it on.
func unreached(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
