package watchwait

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	refused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	reset   = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
)

// server answers with the errors, one after the other, and then with success.
type server struct {
	errs     []error
	requests int
}

func (s *server) RoundTrip(*http.Request) (*http.Response, error) {
	s.requests++
	if s.requests <= len(s.errs) {
		return nil, s.errs[s.requests-1]
	}
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
}

func TestRoundTrip(t *testing.T) {
	for name, tc := range map[string]struct {
		method, url string
		errs        []error
		want        error
		wantTries   int
	}{
		"watch, server there":       {url: "/leases?watch=true", wantTries: 1},
		"watch, server away":        {url: "/leases?watch=1", errs: []error{refused, refused, refused}, wantTries: 4},
		"watch, connection lost":    {url: "/leases?watch=1", errs: []error{refused, reset}, want: reset, wantTries: 2},
		"watch, other failure":      {url: "/leases?watch=1", errs: []error{io.EOF}, want: io.EOF, wantTries: 1},
		"list":                      {url: "/leases", errs: []error{refused}, want: refused, wantTries: 1},
		"write with such a label":   {method: http.MethodPatch, url: "/leases?watch=1", errs: []error{refused}, want: refused, wantTries: 1},
		"watch, away for an outage": {url: "/leases?watch=1", errs: outage(refused), wantTries: 121},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{errs: tc.errs}
				failures := 0
				request, err := http.NewRequestWithContext(t.Context(), tc.method, "https://server"+tc.url, nil)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				response, err := Wrap(func(error) { failures++ })(s).RoundTrip(request)
				if response != nil {
					response.Body.Close()
				}
				if !errors.Is(err, tc.want) || s.requests != tc.wantTries {
					t.Errorf("%v after %d tries, want %v after %d", err, s.requests, tc.want, tc.wantTries)
				}
				if waits := tc.wantTries - 1; failures != waits {
					t.Errorf("was told of %d failures, want %d", failures, waits)
				} else if took := time.Since(began); took > time.Duration(waits)*3*interval/2 || took < time.Duration(waits)*interval/2 {
					t.Errorf("took %s for %d waits", took, waits)
				}
			})
		})
	}
}

func outage(err error) []error {
	errs := make([]error, 120)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// TestContextEnds: a watch that waits ends with its context.
func TestContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://server/leases?watch=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if response, err := Wrap(nil)(&server{errs: outage(refused)}).RoundTrip(request); !errors.Is(err, refused) {
			response.Body.Close()
			t.Errorf("got %v, want %v", err, refused)
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("took %s", took)
		}
	})
}
