package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/tcpproxy"
	"github.com/clusterring/clusterring/internal/testenv"
)

// leaseDuration is that of the shards in these tests, so that a fault need not be long to outlast it.
const leaseDuration = 3 * time.Second

// outlasting is longer than any Lease in these tests, with the grace and the time that everybody takes to notice.
const outlasting = 2*leaseDuration + time.Second

// recovery is how long it may take until all is well again: Leases and grace run out, informers try again. It takes about
// four seconds, and longer on a busy machine.
const recovery = 20 * time.Second

// A fault is something bad that happens to a running system.
type fault struct {
	// inject makes the fault happen, and returns when it is over.
	inject func(s *system)
	// shardArgs are more flags for shards.
	shardArgs []string
	// proxied puts a proxy between the API server and each process.
	proxied bool
	// outage says that the control plane is at fault, so requests of clients may fail for its reasons.
	outage bool
	// moves says that objects must have changed hands because of the fault, otherwise it shows nothing.
	moves bool
}

// system is what faults happen to: two replicas of the sharder, and three shards that are started again when they end, as a
// kubelet would do. Each object has a child. Clients create, change and delete objects all the time.
type system struct {
	*world
	fault   fault
	proxies map[string]*tcpproxy.Proxy // by the name of a shard or replica
}

var shardNames = []string{"a", "b", "c"}

func newSystem(t *testing.T, cluster *testenv.Cluster, f fault) *system {
	t.Helper()
	s := &system{world: newWorldOn(t, cluster, children), fault: f, proxies: map[string]*tcpproxy.Proxy{}}
	for i := range 2 {
		s.waitReady(s.startSharder(append(s.through(fmt.Sprintf("sharder-%d", i)), shortLease...)...))
	}
	for _, name := range shardNames {
		s.keepShard(name, append(s.through(name), append([]string{"--children", "--lease-duration=" + leaseDuration.String()}, f.shardArgs...)...)...)
	}
	s.waitForAdmission()
	s.create("before", 60, 4)
	s.settle(shardNames...)
	return s
}

// through returns the flag that leads a process through a proxy of its own, if there are to be proxies.
func (s *system) through(name string) []string {
	s.Helper()
	if !s.fault.proxied {
		return nil
	}
	config, err := clientcmd.LoadFromFile(s.cluster.KubeconfigPath)
	if err != nil {
		s.Fatal(err)
	}
	server := config.Clusters[config.Contexts[config.CurrentContext].Cluster]
	proxy := s.cluster.Proxy(s, 0)
	server.Server = "https://" + proxy.Addr()
	path := filepath.Join(s.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		s.Fatal(err)
	}
	s.proxies[name] = proxy
	return []string{"--kubeconfig=" + path}
}

// runFault lets a fault happen and checks that all is well within seconds after it, and that no promise was broken.
func runFault(t *testing.T, cluster *testenv.Cluster, f fault) {
	testenv.Require(t, cluster)
	s := newSystem(t, cluster, f)
	var well atomic.Bool
	tr := s.startTrafficWith(2, 30*time.Millisecond, func(err error) bool {
		// Afterwards, only what could not be created before is missed.
		return f.outage && notOurs(err) && (!well.Load() || apierrors.IsNotFound(err))
	})
	s.waitForMore(20)
	moved := s.moved(s.ring)
	f.inject(s)
	s.recover(time.Now())
	well.Store(true)
	s.waitForMore(20)
	tr.stop()
	t.Logf("%d created, %d changed, %d deleted meanwhile, %d requests failed; %d slots moved",
		tr.created, tr.changed, tr.deleted, tr.failed, s.moved(s.ring)-moved)
	if f.moves && s.moved(s.ring) == moved {
		t.Error("no slot has moved, so this shows nothing")
	}
	s.checkAll(shardNames...)
	s.checkFamilies()
}

// recover waits until new objects get their shard and are worked on by it (G2).
func (s *system) recover(over time.Time) {
	s.Helper()
	s.waitForAdmission()
	births := s.create(fmt.Sprintf("after-%d", over.UnixNano()), 20, 2)
	s.waitLabelled(births, settleTimeout)
	s.waitForWork(over)
	var running []*sharder
	for _, r := range s.sharders {
		if r.Running() {
			running = append(running, r)
		}
	}
	s.leader(running...)
	if took := time.Since(over); took > recovery {
		s.Errorf("all was well %s after the fault, later than %s", took, recovery)
	} else {
		s.Logf("all was well %s after the fault", took.Round(time.Millisecond))
	}
}

// waitForWork waits until each of the shards has worked on something since a certain time.
func (s *system) waitForWork(since time.Time) {
	s.Helper()
	testenv.Poll(s.T, settleTimeout, func(context.Context) error {
		worked := map[string]bool{}
		for _, i := range s.intervals() {
			if i.Begin.After(since) && !i.End.IsZero() {
				worked[i.Worker.Shard] = true
			}
		}
		if len(worked) < len(shardNames) {
			return fmt.Errorf("only %v of %v have worked on anything since %s", worked, shardNames, since)
		}
		return nil
	})
}

// notOurs tells whether the API server could have failed a request like this without us. If a webhook is at fault, it is ours.
func notOurs(err error) bool { return !strings.Contains(err.Error(), "webhook") }

// waitForMore waits until shards have worked n times more.
func (s *system) waitForMore(n int) {
	s.Helper()
	before := len(s.intervals())
	testenv.Poll(s.T, settleTimeout, func(context.Context) error {
		if more := len(s.intervals()) - before; more < n {
			return fmt.Errorf("shards have worked %d times", more)
		}
		return nil
	})
}

// outlast waits for a time that only passes by itself.
func (s *system) outlast(d time.Duration) {
	s.Helper()
	began := time.Now()
	testenv.Poll(s.T, d+settleTimeout, func(context.Context) error {
		if left := d - time.Since(began); left > 0 {
			return fmt.Errorf("the fault lasts for another %s", left)
		}
		return nil
	})
}

// waitEmpty waits until a shard has lost its objects.
func (s *system) waitEmpty(name string) {
	s.Helper()
	testenv.Poll(s.T, settleTimeout, func(context.Context) error {
		if n := s.with(s.ring, name); n > 0 {
			return fmt.Errorf("shard %s still has %d objects", name, n)
		}
		return nil
	})
}

// shard returns the process that is a shard at the moment.
func (s *system) shard(name string) *shardProcess {
	s.Helper()
	var found *shardProcess
	testenv.Poll(s.T, settleTimeout, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, p := range s.shards {
			if p.worker.Shard == name && p.Running() {
				found = p
				return nil
			}
		}
		return errors.New("shard " + name + " does not run")
	})
	return found
}

// kill ends processes at once, and counts on somebody to start them again.
func (s *system) kill(processes ...*procs.Process) {
	s.Helper()
	for _, p := range processes {
		if err := p.Kill(); err != nil {
			s.Fatal(err)
		}
	}
}

// waitEnded waits until a process has ended by itself.
func (s *system) waitEnded(p *procs.Process) {
	s.Helper()
	select {
	case <-p.Done():
	case <-time.After(settleTimeout):
		s.Fatalf("%s goes on", p.Name())
	}
}
