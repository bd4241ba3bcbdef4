package lease

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// MaxRequestTimeout is the longest timeout that the fence sends with a request.
	MaxRequestTimeout = 34 * time.Second
	// RequestMargin is for what the timeout of a request does not bound: the way to the API server, and from there to etcd.
	RequestMargin = 5 * time.Second
)

// Fence returns a round tripper that lets requests pass that cannot change anything, and others only while the Lease is
// valid. A request that is refused, or under way when the Lease is lost, fails with an error that wraps ErrNotHeld, unless
// its own context ends first. client-go does not repeat such a request.
//
// Requests that may change something are sent with the timeout that the Lease has left, at most MaxRequestTimeout, for the
// API server to enforce. A shorter one that a request has stays. When the caller gives up on such a request after it was sent,
// RoundTrip returns at once, and the answer is waited for in the background.
//
// Use it with rest.Config.Wrap, for every client that works on sharded objects.
func (l *Lease) Fence(next http.RoundTripper) http.RoundTripper {
	return &fence{lease: l, next: next}
}

type fence struct {
	lease *Lease
	next  http.RoundTripper
}

// WrappedRoundTripper lets client-go find the transport behind the fence.
func (f *fence) WrappedRoundTripper() http.RoundTripper { return f.next }

// RoundTrip implements http.RoundTripper.
func (f *fence) RoundTrip(req *http.Request) (*http.Response, error) {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		return f.next.RoundTrip(req)
	}
	refused := fmt.Errorf("%s %s refused: %w", req.Method, req.URL.Path, ErrNotHeld)
	timeout := min(f.lease.left(), MaxRequestTimeout).Truncate(time.Millisecond)
	if timeout <= 0 {
		if req.Body != nil {
			_ = req.Body.Close() // a round tripper must close it, also on errors
		}
		return nil, refused
	}
	ended := func(time.Time) {}
	if f.lease.cfg.Requests != nil {
		ended = f.lease.cfg.Requests(req.Context())
	}

	// Whoever gives up on a request that was sent does not call it back. Its answer is waited for all the same: it comes soon,
	// and until it does nobody knows whether the request is still under way.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(req.Context()))
	detach := context.AfterFunc(f.lease.over, func() { cancel(refused) })
	done := func() {
		detach()
		cancel(nil)
	}
	var sent atomic.Pointer[time.Time] // when the body was last read
	hasBody := req.Body != nil && req.Body != http.NoBody
	out, timeout := withTimeout(req.WithContext(ctx), timeout)
	out = guard(out, func() error {
		switch {
		case !f.lease.Valid():
			cancel(refused)
		case sent.Load() == nil && req.Context().Err() != nil:
			cancel(context.Cause(req.Context()))
		}
		if ctx.Err() == nil {
			now := time.Now()
			sent.Store(&now)
		}
		return context.Cause(ctx)
	})
	answered := make(chan outcome, 1)
	go func() {
		resp, err := f.next.RoundTrip(out)
		switch {
		case err != nil:
			ended(latest(err, hasBody, sent.Load(), timeout))
			if context.Cause(ctx) == refused {
				err = refused
			}
		case resp.StatusCode < http.StatusInternalServerError:
			ended(time.Time{})
		case byAPIServer(resp):
			ended(time.Now().Add(RequestMargin)) // it does not know what came of it either
		default:
			ended(latest(nil, hasBody, sent.Load(), timeout))
		}
		answered <- outcome{resp, err}
	}()
	var a outcome
	select {
	case a = <-answered:
	case <-req.Context().Done():
		giveUp := time.AfterFunc(timeout+RequestMargin, func() { cancel(context.Cause(req.Context())) })
		go func() {
			if a := <-answered; a.resp != nil {
				_ = a.resp.Body.Close()
			}
			giveUp.Stop()
			done()
		}()
		return nil, req.Context().Err()
	}
	if a.err != nil {
		done()
		return nil, a.err
	}
	if a.resp.StatusCode == http.StatusSwitchingProtocols {
		return a.resp, nil // the body is a connection now, to be used until it is closed or the Lease is lost
	}
	stop := context.AfterFunc(req.Context(), func() { cancel(context.Cause(req.Context())) })
	a.resp.Body = &body{ReadCloser: a.resp.Body, closed: func() { stop(); done() }}
	return a.resp, nil
}

// outcome is what a request has come to.
type outcome struct {
	resp *http.Response
	err  error
}

// latest returns until when a request without an answer may be executed, or the zero time if it was never sent.
func latest(err error, hasBody bool, sent *time.Time, timeout time.Duration) time.Time {
	var op *net.OpError
	switch {
	case hasBody && sent == nil, errors.As(err, &op) && op.Op == "dial":
		return time.Time{}
	case sent == nil:
		return time.Now().Add(timeout + RequestMargin)
	}
	return sent.Add(timeout + RequestMargin)
}

// byAPIServer reports whether an API server answered, and so does not work on the request any more. Something in front of it
// does not know. API servers name each request that they answer; for an aggregated one that breaks off, the one in front writes
// the answer, as plain text.
func byAPIServer(resp *http.Response) bool {
	return resp.Header.Get("Audit-Id") != "" && !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/")
}

// withTimeout returns the request with a timeout for the API server, and that timeout. It may change the request, but not
// its URL.
func withTimeout(req *http.Request, timeout time.Duration) (*http.Request, time.Duration) {
	u := *req.URL
	query := u.Query()
	if set, err := time.ParseDuration(query.Get("timeout")); err == nil && set > 0 && set <= timeout {
		return req, set
	}
	query.Set("timeout", timeout.String())
	u.RawQuery = query.Encode()
	req.URL = &u
	return req, timeout
}

// guard has the request, which it may change, look at the Lease again when its body is read. That is when a connection
// has been found, which can be long after the request was made, and right before the bytes leave.
func guard(req *http.Request, check func() error) *http.Request {
	if req.Body == nil || req.Body == http.NoBody {
		return req
	}
	req.Body = &body{ReadCloser: req.Body, check: check}
	if getBody := req.GetBody; getBody != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			again, err := getBody()
			if err != nil {
				return nil, err
			}
			return &body{ReadCloser: again, check: check}, nil
		}
	}
	return req
}

// A body asks before it is read and tells when it is closed.
type body struct {
	io.ReadCloser
	check  func() error
	closed func()
}

func (b *body) Read(p []byte) (int, error) {
	if b.check != nil {
		if err := b.check(); err != nil {
			return 0, err
		}
	}
	return b.ReadCloser.Read(p)
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	if b.closed != nil {
		b.closed()
	}
	return err
}
