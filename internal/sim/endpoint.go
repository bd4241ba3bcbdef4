package sim

import (
	"context"
	"net/http"
	"sync"
)

// endpoint is one API server as processes reach it. It can be away: nobody gets an answer, and all watches break. It is safe for
// concurrent use.
type endpoint struct {
	server http.RoundTripper

	mu    sync.Mutex
	away  int             // how many reasons there are
	here  context.Context // ends when the API server goes away
	leave context.CancelFunc
}

func newEndpoint(server http.RoundTripper) *endpoint {
	e := &endpoint{server: server}
	e.here, e.leave = context.WithCancel(context.Background())
	return e
}

// presence ends when the API server goes away. It has ended if that is away now.
func (e *endpoint) presence() context.Context {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.here
}

func (e *endpoint) goAway() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.away++
	e.leave()
}

func (e *endpoint) comeBack() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.away--; e.away == 0 {
		e.here, e.leave = context.WithCancel(context.Background())
	}
}

// RoundTrip implements http.RoundTripper.
func (e *endpoint) RoundTrip(req *http.Request) (*http.Response, error) {
	there := e.presence()
	if there.Err() != nil {
		return nil, errReset
	}
	resp, err := e.server.RoundTrip(req)
	if err == nil && there.Err() != nil {
		_ = resp.Body.Close()
		return nil, errReset
	}
	return resp, err
}
