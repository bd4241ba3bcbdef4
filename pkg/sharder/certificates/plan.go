package certificates

import (
	"slices"
	"time"
)

// policy says how long things last and whom they are for.
type policy struct {
	hosts       []string
	caLifetime  time.Duration
	lifetime    time.Duration
	overlap     time.Duration
	forceNewCA  bool
	firstSeenAt func(id string) time.Time
}

// plan returns the state that there should be now, whether it differs, and when to look again by time alone. Only the
// making of keys is random; what is made when follows from the arguments.
func plan(s state, now time.Time, p policy) (next state, changed bool, again time.Time, err error) {
	seenFor := func(c pair) time.Duration { return now.Sub(p.firstSeenAt(c.id())) }
	look := func(at time.Time) {
		if again.IsZero() || at.Before(again) {
			again = at
		}
	}

	next.serving = s.serving
	for _, ca := range s.cas {
		if ca.validAt(now) {
			next.cas = append(next.cas, ca)
		}
	}
	changed = len(next.cas) != len(s.cas)

	// A new CA when there is none, or when the newest has had two thirds of its life.
	if n := len(next.cas); n == 0 || p.forceNewCA || !now.Before(next.cas[n-1].renewAt()) {
		ca, err := newCA(now, p.caLifetime)
		if err != nil {
			return state{}, false, time.Time{}, err
		}
		next.cas, changed = append(next.cas, ca), true
	}
	newest := next.cas[len(next.cas)-1]
	look(newest.renewAt())

	// The CA that signs stays in use until a newer one has been trusted for long enough. Without one that signs, there is
	// nothing to wait for.
	signer := 0
	if next.serving.certificate != nil {
		signer = max(0, slices.IndexFunc(next.cas, next.serving.signedBy))
	}
	for i := len(next.cas) - 1; i > signer; i-- {
		if seenFor(next.cas[i]) >= p.overlap {
			signer = i
			break
		}
		look(p.firstSeenAt(next.cas[i].id()).Add(p.overlap))
	}

	hosts := p.hosts
	if c := next.serving; c.certificate == nil || !c.validAt(now) || !c.signedBy(next.cas[signer]) || !c.covers(hosts) || !now.Before(c.renewAt()) {
		if c.certificate != nil && now.Before(c.renewAt()) && !c.covers(hosts) {
			// Replicas that are configured differently for a while must not replace each other's certificate for ever.
			hosts = union(hosts, c.hosts())
		}
		if next.serving, err = newServing(next.cas[signer], hosts, now, p.lifetime); err != nil {
			return state{}, false, time.Time{}, err
		}
		changed = true
	}
	look(next.serving.renewAt())

	// CAs that sign no more are trusted until every replica serves the new certificate.
	if signer > 0 {
		if seenFor(next.serving) >= p.overlap {
			next.cas, changed = slices.Clone(next.cas[signer:]), true
		} else {
			look(p.firstSeenAt(next.serving.id()).Add(p.overlap))
		}
	}
	return next, changed, again, nil
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
