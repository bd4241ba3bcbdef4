package certificates

import (
	"crypto/x509"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func testPolicy() policy {
	return policy{hosts: []string{"sharder.ns.svc", "127.0.0.1"}, caLifetime: 30 * time.Hour, lifetime: 6 * time.Hour, overlap: time.Hour}
}

// seenFor returns a policy under which every certificate was first seen that long ago.
func seenFor(d time.Duration, now time.Time) policy {
	p := testPolicy()
	p.firstSeenAt = func(string) time.Time { return now.Add(-d) }
	return p
}

func mustPlan(t *testing.T, s state, now time.Time, p policy) (state, bool, time.Time) {
	t.Helper()
	next, changed, again, err := plan(s, now, p)
	if err != nil {
		t.Fatal(err)
	}
	if changed && !again.After(now) {
		t.Errorf("look again at %s, it is %s", again, now)
	}
	return next, changed, again
}

func verify(s state, bundle []pair, host string, now time.Time) error {
	pool := x509.NewCertPool()
	for _, ca := range bundle {
		pool.AddCert(ca.certificate)
	}
	_, err := s.serving.certificate.Verify(x509.VerifyOptions{Roots: pool, DNSName: host, CurrentTime: now})
	return err
}

func TestPlan(t *testing.T) {
	now := epoch
	first, changed, _ := mustPlan(t, state{}, now, seenFor(0, now))
	if !changed || len(first.cas) != 1 || first.serving.certificate == nil {
		t.Fatalf("nothing made of nothing: %+v", first)
	}
	for _, host := range []string{"sharder.ns.svc", "127.0.0.1"} {
		if err := verify(first, first.cas, host, now.Add(-time.Hour)); err != nil {
			t.Errorf("for %s on a machine whose clock is an hour behind: %v", host, err)
		}
	}
	if _, changed, again := mustPlan(t, first, now.Add(time.Minute), seenFor(0, now)); changed || !again.Equal(epoch.Add(4*time.Hour)) {
		t.Errorf("changed %v, look again at %s", changed, again)
	}

	t.Run("the certificate is renewed after two thirds", func(t *testing.T) {
		now := epoch.Add(4 * time.Hour)
		next, changed, _ := mustPlan(t, first, now, seenFor(4*time.Hour, now))
		if !changed || len(next.cas) != 1 || next.serving.id() == first.serving.id() {
			t.Error("not renewed")
		}
	})
	t.Run("a new CA is trusted before it signs, and the old one after", func(t *testing.T) {
		now := epoch.Add(20 * time.Hour)
		published, _, _ := mustPlan(t, first, now, seenFor(0, now))
		if len(published.cas) != 2 {
			t.Fatalf("%d CAs", len(published.cas))
		}
		waiting, changed, again := mustPlan(t, published, now, seenFor(0, now))
		if changed && !waiting.serving.signedBy(first.cas[0]) {
			t.Error("signed by the new CA at once")
		}
		if !again.Equal(now.Add(time.Hour)) {
			t.Errorf("look again at %s", again)
		}
		now = now.Add(time.Hour)
		p := testPolicy()
		p.firstSeenAt = func(id string) time.Time {
			if id == published.cas[1].id() {
				return now.Add(-time.Hour)
			}
			return now
		}
		switched, changed, _ := mustPlan(t, published, now, p)
		if !changed || !switched.serving.signedBy(published.cas[1]) || len(switched.cas) != 2 {
			t.Fatal("not signed by the new CA, or the old one is gone too early")
		}
		restarted, changed, _ := mustPlan(t, switched, now, seenFor(0, now))
		if changed || restarted.serving.id() != switched.serving.id() {
			t.Error("a replica that has just started goes back to the old CA")
		}
		done, changed, _ := mustPlan(t, switched, now.Add(time.Hour), seenFor(time.Hour, now.Add(time.Hour)))
		if !changed || len(done.cas) != 1 || !done.serving.signedBy(done.cas[0]) {
			t.Error("the old CA is still there")
		}
	})
	t.Run("other hosts", func(t *testing.T) {
		p := seenFor(0, now)
		p.hosts = []string{"localhost"}
		next, changed, _ := mustPlan(t, first, now, p)
		if !changed {
			t.Fatal("not changed")
		}
		for _, host := range []string{"localhost", "sharder.ns.svc", "127.0.0.1"} {
			if err := verify(next, next.cas, host, now); err != nil {
				t.Error(err)
			}
		}
		if _, changed, _ := mustPlan(t, next, now, seenFor(0, now)); changed {
			t.Error("two replicas with different hosts replace each other's certificate")
		}
	})
	t.Run("expired", func(t *testing.T) {
		now := epoch.Add(100 * time.Hour)
		next, changed, _ := mustPlan(t, first, now, seenFor(0, now))
		if !changed || len(next.cas) != 1 || verify(next, next.cas, "127.0.0.1", now) != nil {
			t.Error("still expired")
		}
	})
}

// TestNoGap lets three replicas with clocks that differ by hours share a Secret for a simulated week. At no moment does any
// of them serve what an API server does not trust that follows the bundle with some delay.
func TestNoGap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	const step, maxLag = 5 * time.Minute, 4 // the delay is less than maxLag steps, and the overlap is an hour
	type replica struct {
		skew time.Duration
		seen map[string]time.Time
	}
	replicas := []*replica{{skew: 0}, {skew: 3 * time.Hour}, {skew: -3 * time.Hour}}
	for _, r := range replicas {
		r.seen = map[string]time.Time{}
	}
	var history []state // what the Secret held at each step
	var secret state
	lagging := func() state { return history[max(0, len(history)-1-random.IntN(maxLag))] }
	seenCAs, seenCerts := map[string]bool{}, map[string]bool{}
	for now := epoch; now.Before(epoch.Add(7 * 24 * time.Hour)); now = now.Add(step) {
		for _, i := range random.Perm(len(replicas)) {
			r := replicas[i]
			if random.IntN(100) == 0 {
				r.seen = map[string]time.Time{} // it restarts
			}
			if random.IntN(3) == 0 {
				continue // it is slow
			}
			local := now.Add(r.skew)
			note := func(s state) {
				for _, id := range s.ids() {
					if _, ok := r.seen[id]; !ok {
						r.seen[id] = local
					}
				}
			}
			note(secret)
			p := testPolicy()
			p.firstSeenAt = func(id string) time.Time {
				if at, ok := r.seen[id]; ok {
					return at
				}
				return local
			}
			next, changed, _ := mustPlan(t, secret, local, p)
			if changed {
				secret = next
			}
			note(secret)
		}
		if secret.cas == nil {
			continue // all were slow
		}
		history = append(history, secret)
		for _, ca := range secret.cas {
			seenCAs[ca.id()] = true
		}
		seenCerts[secret.serving.id()] = true
		if len(history) <= maxLag {
			continue // at first there is no webhook
		}
		for range replicas {
			if err := verify(lagging(), lagging().cas, "127.0.0.1", now); err != nil {
				t.Fatalf("after %s: %v", now.Sub(epoch), err)
			}
		}
		if !slices.ContainsFunc(secret.cas, secret.serving.signedBy) {
			t.Fatalf("after %s: the certificate's CA is not trusted", now.Sub(epoch))
		}
	}
	if len(seenCAs) < 7 || len(seenCAs) > 12 || len(seenCerts) < 40 {
		t.Errorf("%d CAs and %d certificates in a week", len(seenCAs), len(seenCerts))
	}
}
