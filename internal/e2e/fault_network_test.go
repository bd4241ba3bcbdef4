package e2e

import (
	"testing"

	"github.com/clusterring/clusterring/internal/tcpproxy"
)

// TestFaultNetwork: the connections of a shard, or of the sharder that leads, to the API server are cut, refused, or lead into
// a black hole, for longer than its Lease.
func TestFaultNetwork(t *testing.T) {
	cutAndRefuse := func(p *tcpproxy.Proxy) { p.Refuse(); p.Cut() }
	for name, f := range map[string]fault{
		"connections of a shard are cut": {inject: func(s *system) {
			b, moved := s.shard("b"), s.moved(s.ring)
			for range 10 {
				s.proxies["b"].Cut()
				s.outlast(leaseDuration / 10)
			}
			if !b.Running() {
				s.Errorf("%s has ended: %v", b.Name(), b.Err())
			}
			if n := s.moved(s.ring) - moved; n > 0 {
				s.Errorf("%d slots have moved", n)
			}
		}},
		"a shard is refused":      {moves: true, shardArgs: slowWork, inject: isolateShard(cutAndRefuse)},
		"a shard in a black hole": {moves: true, shardArgs: []string{"--work=200ms"}, inject: isolateShard((*tcpproxy.Proxy).Block)},
		"all shards in a black hole": {shardArgs: []string{"--work=200ms"}, inject: func(s *system) {
			for _, name := range shardNames {
				s.proxies[name].Block()
			}
			s.outlast(outlasting)
			for _, name := range shardNames {
				s.proxies[name].Unblock()
			}
		}},
		"connections of the sharder are cut": {inject: func(s *system) {
			for range 10 {
				for _, r := range s.sharders {
					s.proxies[r.Name()].Cut()
				}
				s.outlast(leaseDuration / 10)
			}
		}},
		"the sharder that leads is refused":      {inject: isolateLeader(cutAndRefuse)},
		"the sharder that leads in a black hole": {inject: isolateLeader((*tcpproxy.Proxy).Block)},
		"both sharders in a black hole": {inject: func(s *system) {
			leader := s.leader(s.sharders...)
			for _, r := range s.sharders {
				s.proxies[r.Name()].Block()
			}
			s.outlast(outlasting)
			for _, r := range s.sharders {
				s.proxies[r.Name()].Unblock()
			}
			s.lostLead(leader)
		}},
		"a shard and the sharder that leads in a black hole": {moves: true, shardArgs: []string{"--work=200ms"}, inject: func(s *system) {
			leader := s.leader(s.sharders...)
			s.proxies[leader.Name()].Block()
			isolateShard((*tcpproxy.Proxy).Block)(s)
			s.proxies[leader.Name()].Unblock()
			s.lostLead(leader)
		}},
	} {
		f.proxied = true
		t.Run(name, func(t *testing.T) { runFault(t, cluster, f) })
	}
}

// isolateShard keeps a shard away from the API server until its objects are with others. By then it has ended.
func isolateShard(how func(*tcpproxy.Proxy)) func(*system) {
	return func(s *system) {
		b := s.shard("b")
		how(s.proxies["b"])
		s.waitEmpty("b")
		s.waitEnded(b.Process)
		if err := says(b.Process, "lost: "); err != nil {
			s.Error(err)
		}
		s.waitForMore(20)
		s.proxies["b"].Unblock()
	}
}

// isolateLeader keeps the leading replica away from the API server until the other one leads, and a shard has crashed meanwhile.
func isolateLeader(how func(*tcpproxy.Proxy)) func(*system) {
	return func(s *system) {
		leader := s.leader(s.sharders...)
		how(s.proxies[leader.Name()])
		s.kill(s.shard("b").Process)
		s.leader(s.others(leader)...)
		s.lostLead(leader)
		s.proxies[leader.Name()].Unblock()
	}
}
