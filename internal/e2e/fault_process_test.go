package e2e

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
)

// slowWork has shards be in the middle of some work at most times, and their writes have no precondition.
var slowWork = []string{"--work=200ms", "--unconditional"}

// careless work goes on, too, when the Lease is lost: nothing but the fence keeps it from writing.
var careless = []string{"--work=200ms", "--unconditional", "--stubborn"}

// TestFaultCrash: processes are killed.
func TestFaultCrash(t *testing.T) {
	for name, f := range map[string]fault{
		"a shard": {inject: func(s *system) { s.kill(s.shard("b").Process) }},
		"a shard, again and again": {inject: func(s *system) {
			for range 5 {
				s.kill(s.shard("b").Process)
				s.waitForMore(10)
			}
		}},
		"all shards": {inject: func(s *system) {
			s.kill(s.shard("a").Process, s.shard("b").Process, s.shard("c").Process)
		}},
		"the sharder that leads": {inject: func(s *system) {
			s.kill(s.leader(s.sharders...).Process)
			s.waitReady(s.startSharder(shortLease...))
		}},
		"both sharders": {inject: func(s *system) {
			s.kill(s.sharders[0].Process, s.sharders[1].Process)
			s.outlast(leaseDuration)
			s.waitReady(s.startSharder(shortLease...), s.startSharder(shortLease...))
		}},
		"everything": {inject: func(s *system) {
			s.kill(s.sharders[0].Process, s.shard("a").Process, s.shard("b").Process, s.sharders[1].Process, s.shard("c").Process)
			s.waitReady(s.startSharder(shortLease...))
		}},
	} {
		t.Run(name, func(t *testing.T) { runFault(t, cluster, f) })
	}
}

// TestFaultHang: processes hang (SIGSTOP) for longer than their Leases, and wake up.
func TestFaultHang(t *testing.T) {
	for name, f := range map[string]fault{
		"a shard": {shardArgs: careless, moves: true, inject: func(s *system) {
			b := s.shard("b")
			resume := s.hang(b.Process)
			s.waitEmpty("b")
			s.waitForMore(20)
			s.endsWithoutWork(b, resume())
		}},
		"a shard, for less than its Lease": {shardArgs: slowWork, inject: func(s *system) {
			b := s.shard("b")
			moved := s.moved(s.ring)
			resume := s.hang(b.Process)
			s.outlast(leaseDuration / 6)
			resume()
			s.outlast(leaseDuration)
			if !b.Running() {
				s.Errorf("%s has ended: %v", b.Name(), b.Err())
			}
			if n := s.moved(s.ring) - moved; n > 0 {
				s.Errorf("%d slots have moved", n)
			}
		}},
		"all shards": {shardArgs: slowWork, inject: func(s *system) {
			a, b, c := s.shard("a"), s.shard("b"), s.shard("c")
			resumeA, resumeB, resumeC := s.hang(a.Process), s.hang(b.Process), s.hang(c.Process)
			s.outlast(outlasting)
			s.endsWithoutWork(a, resumeA())
			s.endsWithoutWork(b, resumeB())
			s.endsWithoutWork(c, resumeC())
		}},
		"the sharder that leads": {inject: func(s *system) {
			leader := s.leader(s.sharders...)
			resume := s.hang(leader.Process)
			s.leader(s.others(leader)...)
			resume()
			s.lostLead(leader)
		}},
		"both sharders": {inject: func(s *system) {
			leader := s.leader(s.sharders...)
			resume, resumeOther := s.hang(leader.Process), s.hang(s.others(leader)[0].Process)
			s.outlast(outlasting)
			resume()
			resumeOther()
			s.lostLead(leader)
		}},
		"a shard, and the sharder that leads": {shardArgs: careless, moves: true, inject: func(s *system) {
			b, leader := s.shard("b"), s.leader(s.sharders...)
			resumeShard := s.hang(b.Process)
			resumeLeader := s.hang(leader.Process)
			s.leader(s.others(leader)...)
			s.waitEmpty("b")
			resumeLeader()
			s.endsWithoutWork(b, resumeShard())
			s.lostLead(leader)
		}},
	} {
		t.Run(name, func(t *testing.T) { runFault(t, cluster, f) })
	}
}

// TestFaultHangWithoutFence: what the fence is for, and whether these tests would notice. A shard without one wakes up in the middle
// of its work, and writes to objects that others have. What it was at may be gone by then, so it may take more than one attempt.
func TestFaultHangWithoutFence(t *testing.T) {
	testenv.Require(t, cluster)
	s := newSystem(t, cluster, fault{shardArgs: []string{"--work=500ms", "--unconditional", "--stubborn", "--fenced=false"}})
	tr := s.startTraffic(2, 15*time.Millisecond)
	const most = 5
	for attempt := 1; len(s.lateWrites()) == 0; attempt++ {
		if attempt > most {
			t.Fatalf("no late write was noticed in %d attempts", most)
		}
		s.waitForMore(20)
		b := s.shard("b")
		resume := s.hangAtWork(b)
		s.waitEmpty("b")
		s.waitForMore(20)
		resume()
		s.waitEnded(b.Process)
		s.waitForMore(20) // What has happened until now has been seen then.
	}
	tr.stop()
	t.Logf("noticed: %s", s.lateWrites())
}

// hangAtWork stops a shard that has begun to work on something and has not ended.
func (s *system) hangAtWork(p *shardProcess) (resume func() time.Time) {
	s.Helper()
	testenv.Poll(s.T, settleTimeout, func(context.Context) error {
		resume = s.hang(p.Process)
		if slices.ContainsFunc(s.intervals(), func(i record.Interval) bool { return i.Worker == p.worker && i.End.IsZero() }) {
			return nil
		}
		resume()
		return errors.New(p.Name() + " has nothing to do whenever it is stopped")
	})
	return resume
}

// endsWithoutWork waits until a shard that woke up too late has ended, and checks that it did nothing more.
func (s *system) endsWithoutWork(p *shardProcess, woken time.Time) {
	s.Helper()
	s.waitEnded(p.Process)
	if err := says(p.Process, "lost: "); err != nil {
		s.Error(err)
	}
	s.idleSince(p, woken)
	log, err := os.ReadFile(p.LogFile())
	if err != nil {
		s.Fatal(err)
	}
	s.Logf("the fence has refused %d writes of %s", strings.Count(string(log), writeRefused), p.Name())
}

// lostLead waits until a replica that woke up too late knows that it does not lead any more.
func (s *system) lostLead(r *sharder) {
	s.Helper()
	testenv.Poll(s.T, settleTimeout, func(context.Context) error { return says(r.Process, "Lost the lead") })
}
