package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// Conditions are how the network treats a process. The zero value is a good network.
type Conditions struct {
	// Cut lets nothing pass: what is sent hangs until the network is well again.
	Cut bool
	// Paused stops the process itself: nothing passes, its clock stands still, and it hears of nothing that has ended meanwhile.
	Paused bool
	// Refused answers nothing, at once.
	Refused bool
	// Delay is how long a request and an answer take, up to twice as long.
	Delay time.Duration
	// Loss is the chance of each request, and of each answer, to get lost.
	Loss float64
	// Errors is the chance of a request to be answered with an error of the server, after which it may have been done or not.
	Errors float64
	// Twice is the chance of a write to arrive a second time later.
	Twice float64
	// WatchLag is how much later events come, up to twice as much. WatchLife is how long a watch lives, up to twice as long; zero
	// is as long as the server lets it.
	WatchLag, WatchLife time.Duration
}

var (
	errReset   error = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errRefused error = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
)

// link is the network between one process and the API servers.
type link struct {
	name string
	dice dice
	// next is the API server, sent is told of each request when it leaves the process.
	next http.RoundTripper
	sent func(req *http.Request, body []byte)
	// edit changes what is sent, for a mutant. Optional.
	edit func(req *http.Request, body []byte) []byte
	// clock and pace are those of the process.
	clock clock
	pace  *pace
	// background waits for what is under way without its sender.
	background *sync.WaitGroup

	mu         sync.Mutex
	conditions Conditions
	changed    chan struct{} // closed when the conditions change
	dead       bool
	counts     map[string]int
	streams    map[*stream]struct{}
}

func newLink(name string, d dice, next http.RoundTripper, background *sync.WaitGroup) *link {
	return &link{
		name: name, dice: d, next: next, background: background, sent: func(*http.Request, []byte) {}, pace: newPace(name, d),
		changed: make(chan struct{}), counts: map[string]int{}, streams: map[*stream]struct{}{},
	}
}

// set changes the conditions.
func (l *link) set(c Conditions) {
	c.Cut = c.Cut || c.Paused
	l.pace.pause(c.Paused)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conditions = c
	close(l.changed)
	l.changed = make(chan struct{})
}

// kill ends all connections for good.
func (l *link) kill() {
	l.mu.Lock()
	l.dead = true
	l.mu.Unlock()
	l.pace.end()
	l.set(Conditions{})
	l.reset()
}

// reset ends all watches.
func (l *link) reset() {
	l.mu.Lock()
	var streams []*stream
	for s := range l.streams {
		streams = append(streams, s)
	}
	l.mu.Unlock()
	for _, s := range streams {
		s.breakOff()
	}
}

func (l *link) get() (c Conditions, changed <-chan struct{}, dead bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conditions, l.changed, l.dead
}

// chance returns the chance of the next request of that kind.
func (l *link) chance(req *http.Request) *rand.Rand {
	key := req.Method + " " + req.URL.Path + " " + req.URL.Query().Get("watch")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[key]++
	return l.dice.roll(l.name, key, l.counts[key])
}

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(req *http.Request) (*http.Response, error) {
	l.pace.wait("sends", req.Method, req.URL.Path)
	defer l.pace.wait("hears of", req.Method, req.URL.Path)
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if l.edit != nil {
		body = l.edit(req, body)
	}
	l.sent(req, body)
	body = l.clock.outgoing(req, body)
	chance := l.chance(req)
	c, _, _ := l.get()
	if c.Refused {
		return nil, errRefused
	}
	if err := l.travel(req.Context(), chance, c.Delay); err != nil {
		// It has left the process, and may arrive all the same.
		if _, _, dead := l.get(); writes(req) && !dead && chance.IntN(2) == 0 {
			l.later(req, body, between(chance, 0, time.Second))
		}
		return nil, err
	}
	if chance.Float64() < c.Loss {
		return nil, l.lose(req.Context(), chance)
	}
	if chance.Float64() < c.Errors/2 {
		return serverError(req, chance.IntN(3)), nil
	}
	if writes(req) && chance.Float64() < c.Twice {
		l.later(req, body, between(chance, 0, 5*time.Second))
	}
	resp, err := l.next.RoundTrip(request(req, req.Context(), body))
	if err != nil {
		return nil, err
	}
	fail := func(resp2 *http.Response, err error) (*http.Response, error) {
		_ = resp.Body.Close()
		return resp2, err
	}
	if chance.Float64() < c.Errors/2 {
		return fail(serverError(req, 3), nil)
	}
	if chance.Float64() < c.Loss {
		return fail(nil, l.lose(req.Context(), chance))
	}
	if err := l.travel(req.Context(), chance, c.Delay); err != nil {
		return fail(nil, err)
	}
	if err := l.clock.incoming(req, resp); err != nil {
		return nil, err
	}
	if req.URL.Query().Get("watch") != "" && resp.StatusCode == http.StatusOK {
		resp.Body = l.stream(req, resp.Body, chance, c)
	}
	return resp, nil
}

// travel takes the time that one way takes, and as long as the network is cut.
func (l *link) travel(ctx context.Context, chance *rand.Rand, delay time.Duration) error {
	if err := sleep(ctx, between(chance, 100*time.Microsecond, time.Millisecond)+between(chance, 0, 2*delay)); err != nil {
		return err
	}
	for {
		c, changed, dead := l.get()
		switch {
		case dead:
			return errReset
		case !c.Cut:
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// lose returns after the time that it takes to find out that nothing comes.
func (l *link) lose(ctx context.Context, chance *rand.Rand) error {
	if err := sleep(ctx, between(chance, 0, 15*time.Second)); err != nil {
		return err
	}
	return errReset
}

// later has a request arrive without anybody waiting for the answer.
func (l *link) later(req *http.Request, body []byte, after time.Duration) {
	l.background.Go(func() {
		time.Sleep(after)
		if resp, err := l.next.RoundTrip(request(req, context.WithoutCancel(req.Context()), body)); err == nil {
			_ = resp.Body.Close()
		}
	})
}

func request(req *http.Request, ctx context.Context, body []byte) *http.Request {
	req = req.Clone(ctx)
	req.Body = io.NopCloser(bytes.NewReader(body))
	return req
}

func writes(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

func serverError(req *http.Request, kind int) *http.Response {
	code, reason := http.StatusTooManyRequests, "TooManyRequests"
	switch kind {
	case 1:
		code, reason = http.StatusInternalServerError, "InternalError"
	case 2:
		code, reason = http.StatusServiceUnavailable, "ServiceUnavailable"
	case 3:
		code, reason = http.StatusGatewayTimeout, "Timeout"
	}
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":"simulated","code":%d}`, reason, code)
	resp := &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader([]byte(body))),
	}
	if kind == 0 {
		resp.Header.Set("Retry-After", "1")
	}
	return resp
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
