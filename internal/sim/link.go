package sim

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	errReset   error = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
	errRefused error = &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
)

// link is the network between one process and the API servers.
type link struct {
	name string
	dice dice
	// servers are the API servers. Requests go to the one at home, or each to any of them if they are spread.
	servers []*endpoint
	home    int
	spread  bool
	// sent is told of each request when it leaves the process.
	sent func(req *http.Request, body []byte)
	// arrives is told of each request when it comes to an API server.
	arrives func(parcel)
	// refused answers what the API servers refuse for ever, and nothing else. Optional.
	refused func(context.Context, *http.Request) (*http.Response, error)
	// edit changes what is sent, for a mutant. Optional.
	edit func(req *http.Request, body []byte) []byte
	// clock and pace are those of the process.
	clock clock
	pace  *pace
	// wire has what is under way without its sender.
	wire *cable

	mu         sync.Mutex
	conditions Conditions
	changed    chan struct{} // closed when the conditions change
	dead       bool
	counts     map[string]int
	streams    map[*stream]struct{}
}

func newLink(name string, d dice, wire *cable, servers ...*endpoint) *link {
	return &link{
		name: name, dice: d, servers: servers, wire: wire, sent: func(*http.Request, []byte) {}, arrives: func(parcel) {}, pace: newPace(name, d),
		changed: make(chan struct{}), counts: map[string]int{}, streams: map[*stream]struct{}{},
	}
}

// set changes the conditions.
func (l *link) set(c Conditions) {
	c.Cut = c.Cut || c.Paused
	l.pace.pause(c.Paused)
	l.mu.Lock()
	l.conditions = c
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	if c.Refused {
		l.reset()
	}
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

// roll returns the chance of the next request of that kind, and the API server that it goes to.
func (l *link) roll(req *http.Request) (*rand.Rand, *endpoint) {
	key := req.Method + " " + req.URL.Path + " " + req.URL.Query().Get("watch")
	l.mu.Lock()
	l.counts[key]++
	n := l.counts[key]
	l.mu.Unlock()
	to := l.home
	if l.spread {
		to = l.dice.roll(l.name, "server of", key, n).IntN(len(l.servers))
	}
	return l.dice.roll(l.name, key, n), l.servers[to]
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
	chance, server := l.roll(req)
	p := parcel{req: req, body: l.clock.outgoing(req, body), sent: time.Now(), to: server, refused: l.refused}
	there := server.presence()
	c, _, dead := l.get()
	if dead || c.Refused || there.Err() != nil {
		return nil, errRefused
	}
	if err := l.travel(req.Context(), chance, c.Delay); err != nil {
		l.giveUp(p, chance)
		return nil, err
	}
	if chance.Float64() < c.Loss {
		l.giveUp(p, chance)
		return nil, l.lose(req.Context(), chance)
	}
	if chance.Float64() < c.Errors/2 {
		return serverError(req, chance.IntN(3)), nil
	}
	if writes(req) && chance.Float64() < c.Twice {
		if chance.IntN(2) == 0 {
			l.giveUp(p, chance)
			return nil, l.lose(req.Context(), chance)
		}
		after, _ := lateness(chance, l.wire.about)
		l.later(p, after)
	}
	if timeout, ok := timeoutOf(req); ok && time.Since(p.sent) > timeout {
		return serverError(req, 3), nil // the API server does not carry it out
	}
	l.arrives(p)
	resp, err := p.deliver(req.Context())
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
		resp.Body = l.stream(req, resp.Body, chance, c, there)
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

func writes(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	return true
}

// serverError answers with an error of the API server.
func serverError(req *http.Request, kind int) *http.Response {
	code, reason := http.StatusTooManyRequests, "TooManyRequests"
	switch kind {
	case 1:
		code, reason = http.StatusInternalServerError, "InternalError"
	case 2:
		code, reason = http.StatusServiceUnavailable, "ServiceUnavailable"
	case 3:
		code, reason = http.StatusGatewayTimeout, "Timeout"
	case 4:
		code, reason = http.StatusForbidden, "Forbidden"
	}
	status := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":"simulated","code":%d}`, reason, code)
	resp := &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(status)),
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
