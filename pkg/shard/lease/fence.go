package lease

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Fence returns a round tripper that lets requests pass that cannot change anything, and others only while the Lease is
// valid. A request that is refused, or under way when the Lease is lost, fails with an error that wraps ErrNotHeld.
// client-go does not repeat such a request.
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
	if !f.lease.Valid() {
		if req.Body != nil {
			_ = req.Body.Close() // a round tripper must close it, also on errors
		}
		return nil, refused
	}

	ctx, cancel := context.WithCancelCause(req.Context())
	detach := context.AfterFunc(f.lease.over, func() { cancel(refused) })
	done := func() {
		detach()
		cancel(nil)
	}
	resp, err := f.next.RoundTrip(guard(req.WithContext(ctx), func() error {
		if !f.lease.Valid() {
			cancel(refused)
		}
		return context.Cause(ctx)
	}))
	if err != nil {
		if context.Cause(ctx) == refused {
			err = refused
		}
		done()
		return nil, err
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp, nil // the body is a connection now, to be used until it is closed or the Lease is lost
	}
	resp.Body = &body{ReadCloser: resp.Body, closed: done}
	return resp, nil
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
