package sim

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// maxLate is how late a request can arrive: when Leases have run out, been taken and given back.
const maxLate = 4 * leaseDuration

// lateness draws whether a request arrives that was given up, and how much later. about is about how much that is, and then all
// arrive; if it is zero, half of them do, most of those early and some very late.
func lateness(r *rand.Rand, about time.Duration) (after time.Duration, arrives bool) {
	if about > 0 {
		return between(r, about, 3*about), true
	}
	return between(r, 0, maxLate>>r.IntN(6)), r.IntN(2) == 0
}

// parcel is a request that has left its process.
type parcel struct {
	req  *http.Request
	body []byte
	sent time.Time
	to   *endpoint
	// refused is that of the link.
	refused func(context.Context, *http.Request) (*http.Response, error)
}

// deliver has the API server work on it.
func (p parcel) deliver(ctx context.Context) (*http.Response, error) {
	if p.refused != nil {
		if resp, err := p.refused(ctx, p.req); resp != nil || err != nil {
			return resp, err
		}
	}
	req := p.req.Clone(ctx)
	req.Body = io.NopCloser(bytes.NewReader(p.body))
	return p.to.RoundTrip(req)
}

// giveUp has a write arrive late, or never, of which its sender will not hear any more.
func (l *link) giveUp(p parcel, chance *rand.Rand) {
	if after, arrives := lateness(chance, l.wire.about); arrives && writes(p.req) {
		l.later(p, after)
	}
}

// later has a request arrive without anybody waiting for the answer. When faults end, it is there within a second.
func (l *link) later(p parcel, after time.Duration) {
	atLast := between(l.dice.roll(l.name, "at last", p.req.Method, p.req.URL.Path, after), 0, time.Second)
	l.wire.later(func() {
		if sleep(l.wire.calm, after) != nil {
			time.Sleep(min(after, atLast))
		}
		if timeout, ok := timeoutOf(p.req); ok && time.Since(p.sent) > timeout {
			return // the API server does not carry it out
		}
		l.arrives(p)
		if resp, err := p.deliver(context.WithoutCancel(p.req.Context())); err == nil {
			_ = resp.Body.Close()
		}
	})
}
