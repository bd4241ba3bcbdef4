package lease

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

var (
	seed  = flag.Uint64("seed", 0, "run the simulation with this seed only")
	seeds = flag.Int("seeds", 10, "run the simulation with this many seeds")
)

// TestSimulation lets processes come and go under one shard's name, with a network that delays, loses and refuses, and a
// sharder that takes silent Leases and gives them back. At no time may two of them be allowed to act: that is G1.
func TestSimulation(t *testing.T) {
	first, n := *seed, 1
	if first == 0 {
		first, n = rand.Uint64()|1, *seeds
	}
	acquired, lost, taken := 0, 0, 0
	for i := range n {
		seed := first + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &simulation{T: t, api: newFakeAPI(), rand: rand.New(rand.NewPCG(seed, 1))}
				s.run(10 * time.Minute)
				acquired, lost, taken = acquired+s.acquired, lost+s.lost, taken+s.taken
			})
		})
	}
	t.Logf("acquired %d times, lost %d times, taken %d times", acquired, lost, taken)
	if n >= 10 && (acquired < 100 || lost < 50 || taken < 50) {
		t.Error("the simulation is too quiet to prove anything")
	}
}

type simulation struct {
	*testing.T
	api *fakeAPI

	mu        sync.Mutex // guards rand
	rand      *rand.Rand
	processes []*process

	acquired, lost, taken int
}

type process struct {
	*run
	lease  *Lease
	faults *faults
	valid  bool // when last checked
	ended  bool // was valid once and then the Lease was another's
}

func (s *simulation) intn(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rand.IntN(n)
}

func (s *simulation) run(d time.Duration) {
	var sharder silence
	for end := time.Now().Add(d); time.Now().Before(end) && !s.Failed(); {
		time.Sleep(50 * time.Millisecond)
		synctest.Wait()
		s.check()
		sharder.act(s)
		switch s.intn(150) {
		case 0, 1:
			s.startProcess()
		case 2:
			s.each(func(p *process) { p.cancel() })
		case 3, 4, 5:
			s.each(func(p *process) { p.faults.set(s.fault(), s.fault()) })
		case 6:
			if lease := s.api.get("shard-a"); lease != nil && s.api.holder("shard-a") == "" { // nobody can be at work
				s.api.delete("shard-a")
			}
		case 7, 8:
			s.api.change("shard-a", func(l *coordinationv1.Lease) { // a state label
				l.Labels = map[string]string{"ring": "r", "state": fmt.Sprint(s.intn(100))}
			})
		}
	}
	for _, p := range s.processes {
		p.faults.set(nil, nil)
		p.cancel()
		<-p.returned
		if errors.Is(p.err, ErrLost) {
			s.lost++
		}
		select {
		case <-p.started:
			s.acquired++
		default:
		}
	}
}

func (s *simulation) startProcess() {
	n := 0
	for _, p := range s.processes {
		select {
		case <-p.returned:
		default:
			n++
		}
	}
	if n == 3 {
		return
	}
	l, f := testLease(s, s.api, fmt.Sprintf("process-%d", len(s.processes)), func(c *Config) {
		c.Duration = time.Duration(2+s.intn(4)) * time.Second
		c.ShutdownTimeout = time.Duration(1+s.intn(20)) * time.Second
	})
	s.processes = append(s.processes, &process{run: start(s, l, false), lease: l, faults: f})
}

func (s *simulation) each(do func(*process)) {
	for _, p := range s.processes {
		select {
		case <-p.returned:
		default:
			if s.intn(2) == 0 {
				do(p)
			}
		}
	}
}

// fault returns what happens to requests, or to answers, for a while.
func (s *simulation) fault() func(*http.Request) error {
	switch s.intn(6) {
	case 0:
		return hang
	case 1:
		return refuse
	case 2:
		return func(req *http.Request) error { return delay(time.Duration(s.intn(4000)) * time.Millisecond)(req) }
	}
	return nil
}

// check checks the invariants.
func (s *simulation) check() {
	holder := s.api.holder("shard-a")
	var valid []string
	for _, p := range s.processes {
		was, is := p.valid, p.lease.Valid()
		p.valid = is
		if is {
			valid = append(valid, p.lease.Identity())
		}
		if is && p.ended {
			s.Errorf("%s came back to life", p.lease.Identity())
		}
		if (was || is) && holder != p.lease.Identity() {
			p.ended = true
		}
	}
	if len(valid) > 1 || len(valid) == 1 && holder != valid[0] {
		s.Errorf("%s: allowed to act: %q, holder %q", time.Now().Format(time.TimeOnly), valid, holder)
	}
}

// silence is a sharder: it takes a Lease that was silent for its duration and a third, and gives it back later.
type silence struct {
	renewal string
	since   time.Time
}

func (q *silence) act(s *simulation) {
	lease := s.api.get("shard-a")
	holder := s.api.holder("shard-a")
	if holder == "" {
		return
	}
	if renewal := fmt.Sprint(holder, lease.Spec.RenewTime); renewal != q.renewal {
		q.renewal, q.since = renewal, time.Now()
		return
	}
	silent := time.Since(q.since)
	switch duration := time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second; {
	case silent > duration*4/3:
		s.taken++
		s.api.delete("shard-a")
	}
}
