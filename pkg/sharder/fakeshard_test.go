package sharder

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

const shardDuration = 3 * time.Second

// work is who works on which slot, by the word of the shards.
type work struct {
	t      *testing.T
	mu     sync.Mutex
	owners map[int]string
}

// change replaces the slots that the shard works on.
func (w *work) change(shard string, from, to ring.Slots) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for slot := range from.Minus(to).All() {
		delete(w.owners, slot)
	}
	for slot := range to.Minus(from).All() {
		if other, ok := w.owners[slot]; ok {
			w.t.Errorf("G1: slot %d has two workers, %s and %s", slot, other, shard)
		}
		w.owners[slot] = shard
	}
}

// counts returns how many slots each shard works on.
func (w *work) counts() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]int{}
	for _, owner := range w.owners {
		name, _, _ := strings.Cut(owner, "_")
		out[name]++
	}
	return out
}

// fakeShard speaks the contract: nothing but package wire and ring.Seat. It reads and writes ten times a second.
type fakeShard struct {
	f              *fixture
	name, identity string
	cancel         context.CancelFunc
	done           chan struct{}

	uid      string // of the Lease, once it is held
	seat     ring.Seat
	has      ring.Slots
	deadline time.Time
	renewed  time.Time
}

func (f *fixture) join(name string) *fakeShard {
	ctx, cancel := context.WithCancel(context.Background())
	s := &fakeShard{f: f, name: name, identity: fmt.Sprintf("%s_%d", name, time.Now().UnixNano()), cancel: cancel, done: make(chan struct{})}
	go s.run(ctx)
	f.t.Cleanup(s.crash)
	return s
}

// crash ends the shard without a word.
func (s *fakeShard) crash() { s.cancel(); <-s.done }

// leave ends the shard and releases its Lease.
func (s *fakeShard) leave() {
	s.crash()
	leases := s.f.kube.CoordinationV1().Leases(s.f.shards)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error { // The sharder may write the state at the same time.
		live, err := leases.Get(context.Background(), s.name, metav1.GetOptions{})
		if err == nil && string(live.UID) == s.uid {
			live.Spec.HolderIdentity = ptr.To("")
			metav1.SetMetaDataAnnotation(&live.ObjectMeta, wire.AnnotationReleased, s.identity)
			_, err = leases.Update(context.Background(), live, metav1.UpdateOptions{})
		}
		return err
	})
	if err != nil {
		s.f.t.Errorf("leave: %v", err)
	}
}

func (s *fakeShard) run(ctx context.Context) {
	defer close(s.done)
	defer s.work(ring.Slots{})
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.uid == "" {
			s.acquire(ctx)
		} else {
			// A request that hangs must not keep the shard from ending in time.
			valid, cancel := context.WithDeadline(ctx, s.deadline)
			s.follow(valid)
			s.speak(valid)
			cancel()
		}
		if s.uid != "" && !time.Now().Before(s.deadline) {
			return // lost stays lost
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *fakeShard) acquire(ctx context.Context) {
	now, sent := metav1.NowMicro(), time.Now()
	lease, err := s.f.kube.CoordinationV1().Leases(s.f.shards).Create(ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{wire.LabelRing: s.f.ring}},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &s.identity, LeaseDurationSeconds: ptr.To(int32(shardDuration / time.Second)), AcquireTime: &now, RenewTime: &now,
		},
	}, metav1.CreateOptions{})
	if err == nil {
		s.uid, s.deadline = string(lease.UID), sent.Add(shardDuration)
		s.seat = ring.Seat{Name: s.name, Lease: s.uid}
	}
}

func (s *fakeShard) follow(ctx context.Context) {
	object, err := s.f.rings.ShardingV1alpha1().ClusterRings().Get(ctx, s.f.ring, metav1.GetOptions{})
	if err != nil {
		return
	}
	table, err := wire.ReadTable(object.Status.Table)
	if err != nil {
		s.f.t.Errorf("table: %v", err)
		return
	}
	s.seat = s.seat.See(string(object.UID), table)
	if time.Now().Before(s.deadline) {
		s.work(s.seat.Own())
	}
}

// speak renews the Lease, at once after it was acquired, and writes what is owed.
func (s *fakeShard) speak(ctx context.Context) {
	leases := s.f.kube.CoordinationV1().Leases(s.f.shards)
	live, err := leases.Get(ctx, s.name, metav1.GetOptions{})
	if err != nil {
		return
	}
	if string(live.UID) != s.uid || ptr.Deref(live.Spec.HolderIdentity, "") != s.identity {
		s.deadline = time.Time{}
		return
	}
	shown, _ := wire.ParseHolds(live.Annotations[wire.AnnotationHolds])
	if s.seat.MustWrite(shown, s.has) {
		metav1.SetMetaDataAnnotation(&live.ObjectMeta, wire.AnnotationHolds, wire.FormatHolds(s.seat.Holds(s.has)))
	} else if time.Since(s.renewed) < time.Second {
		return
	}
	now, sent := metav1.NowMicro(), time.Now()
	live.Spec.RenewTime = &now
	if _, err := leases.Update(ctx, live, metav1.UpdateOptions{}); err == nil {
		s.deadline, s.renewed = sent.Add(shardDuration), sent
	}
}

func (s *fakeShard) work(slots ring.Slots) {
	s.f.work.change(s.identity, s.has, slots)
	s.has = slots
}
