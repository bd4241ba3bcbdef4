package shard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// complainAfter is how long something must be wrong before it is told, and complainPeriod how often that is looked at.
	complainAfter  = 30 * time.Second
	complainPeriod = 5 * time.Second
)

// A keeper makes the shard follow the table: it opens and closes slots, gives the shard's word, and tells informers. It
// works for one Lease, in one goroutine.
type keeper struct {
	shard  *Shard
	ledger *ledger
	rings  chan *v1alpha1.ClusterRing // has room for one: the newest

	ring *v1alpha1.ClusterRing // as last seen, nil if it is not there
	read bool                  // the ring was looked for

	// shown is the word that the Lease shows, as far as it is known.
	shown ring.Holds
	// main and controlled are what informers were told; nothing until told is set.
	main, controlled         ring.Slots
	toldMain, toldControlled bool
	// missing are the slots that a gain is under way for.
	missing ring.Slots
	gain    *gain
	waiting sync.WaitGroup // all gains

	asked   time.Time // since when slots are given up
	retry   <-chan time.Time
	retries wait.Backoff
	since   map[string]time.Time // for complaints
}

// A gain waits until controlled informers have slots.
type gain struct {
	slots  ring.Slots
	begun  time.Time
	cancel context.CancelFunc
	done   chan struct{} // closed when they have
	mu     sync.Mutex
	err    error // why they do not
}

func newKeeper(s *Shard) *keeper {
	return &keeper{shard: s, ledger: s.ledger, rings: make(chan *v1alpha1.ClusterRing, 1), since: map[string]time.Time{}}
}

// see hands over the ring. It is called from one goroutine.
func (k *keeper) see(r *v1alpha1.ClusterRing) {
	select {
	case <-k.rings: // an older one, that nobody has looked at
	default:
	}
	k.rings <- r
}

// run works until the context ends. The error is one that the shard cannot live with.
func (k *keeper) run(ctx context.Context) error {
	defer k.waiting.Wait()
	defer k.stopGain()
	tick := time.NewTicker(complainPeriod)
	defer tick.Stop()
	k.ledger.sit(k.shard.cfg.Name, string(k.shard.lease.UID()))
	for {
		var gained chan struct{}
		if k.gain != nil {
			gained = k.gain.done
		}
		select {
		case <-ctx.Done():
			return nil
		case r := <-k.rings:
			if err := k.take(ctx, r); err != nil {
				return err
			}
		case <-k.ledger.changed:
		case <-k.retry:
			k.retry = nil
		case <-gained:
			k.gained(ctx)
		case <-tick.C:
			k.complain(ctx)
			continue
		}
		k.settle(ctx)
	}
}

// take takes notice of the ring. Without one, and with a table that cannot be read, the shard keeps what it has.
func (k *keeper) take(ctx context.Context, r *v1alpha1.ClusterRing) error {
	logger := klog.FromContext(ctx)
	if r == nil && (k.ring != nil || !k.read) {
		logger.Error(nil, "The ring does not exist: create it, or correct the name in the shard's config. Waiting for it")
	}
	if r != nil && k.ring == nil && k.read {
		logger.Info("The ring exists now")
	}
	k.ring, k.read = r, true
	if r == nil {
		return nil
	}
	by := r.Spec.PartitionBy
	if by == "" {
		by = v1alpha1.PartitionByObject
	}
	if !k.ledger.partition(by) {
		return fmt.Errorf("ring %s keeps objects together by %s now: shards that do not know yet would disagree about slots; "+
			"stop all shards of a ring before it is made again with another partitionBy", r.Name, by)
	}
	t, err := wire.ReadTable(r.Status.Table)
	if err != nil {
		k.shard.once("unreadable table", func() { logger.Error(err, "The table of the ring is ignored") })
		return nil
	}
	before := k.ledger.seated()
	if after := k.ledger.see(string(r.UID), t); after.Slots != before.Slots || after.Releasing != before.Releasing {
		logger.Info("The shard has other slots", "revision", after.Revision, "slots", after.Slots.Len(),
			"gained", after.Own().Minus(before.Own()).Len(), "releasing", after.Releasing.Len())
	}
	return nil
}

// settle does what follows from the ledger: first the word, then losses, then gains.
func (k *keeper) settle(ctx context.Context) {
	if k.asked.IsZero() && k.ledger.releasing() {
		k.asked = time.Now()
	}
	if k.ledger.mustWrite(k.shown) {
		k.write(ctx)
	}
	gained, missing := k.ledger.drop(k.shown)
	if !k.asked.IsZero() && !k.ledger.releasing() {
		k.shard.metrics.released(time.Since(k.asked))
		k.asked = time.Time{}
	}
	// Main informers are told of their first slots when their controlled objects are there, so that they have synced when
	// everything is. Losses are shown to them first.
	if k.read && (k.toldMain || missing.Empty()) {
		k.tellMain(gained)
	}
	// What was given up since the last look is lost first, even if it is the shard's own again: others may have worked there.
	if k.read {
		k.tellControlled(gained.Union(missing.Intersect(k.missing)))
		k.tellControlled(gained.Union(missing))
	}
	if missing == k.missing {
		return
	}
	k.stopGain()
	k.missing = missing
	if !missing.Empty() {
		k.startGain(ctx, missing)
	}
}

// write gives the shard's word.
func (k *keeper) write(ctx context.Context) {
	if k.retry != nil {
		return
	}
	annotations, err := k.shard.lease.Write(ctx)
	if err == nil {
		k.shown, err = wire.ParseHolds(annotations[wire.AnnotationHolds])
	}
	if err != nil {
		if ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "The shard's word is not written, trying again")
		}
		if k.retries.Duration == 0 {
			k.retries = backoff(2 * time.Second)
		}
		k.retry = time.After(k.retries.Step())
		return
	}
	k.retries = wait.Backoff{}
	if k.ledger.mustWrite(k.shown) {
		k.ledger.poke() // work has ended while it was written
	}
}

func (k *keeper) tellMain(slots ring.Slots) {
	if k.toldMain && slots == k.main {
		return
	}
	k.main, k.toldMain = slots, true
	for _, r := range k.shard.resources {
		if r.main && r.informer != nil {
			r.informer.Set(slots)
		}
	}
}

func (k *keeper) tellControlled(slots ring.Slots) {
	if k.toldControlled && slots == k.controlled {
		return
	}
	k.controlled, k.toldControlled = slots, true
	for _, r := range k.shard.resources {
		if !r.main && r.informer != nil {
			r.informer.Set(slots)
		}
	}
}

// startGain waits in the background until all controlled informers have the slots.
func (k *keeper) startGain(ctx context.Context, slots ring.Slots) {
	ctx, cancel := context.WithCancel(ctx)
	g := &gain{slots: slots, begun: time.Now(), cancel: cancel, done: make(chan struct{})}
	k.gain = g
	var waiting sync.WaitGroup
	for _, r := range k.shard.resources {
		if !r.main && r.informer != nil {
			waiting.Go(func() { g.wait(ctx, r) })
		}
	}
	k.waiting.Go(func() {
		waiting.Wait()
		if ctx.Err() == nil {
			close(g.done)
		}
	})
}

func (g *gain) wait(ctx context.Context, r *Resource) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, complainAfter)
		err := r.informer.Wait(attempt, g.slots)
		cancel()
		if err == nil {
			return
		}
		g.mu.Lock()
		g.err = fmt.Errorf("%s: %w", r.kind, err)
		g.mu.Unlock()
	}
}

func (g *gain) why() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

func (k *keeper) stopGain() {
	if k.gain != nil {
		k.gain.cancel()
	}
	k.gain, k.missing = nil, ring.Slots{}
}

// gained opens the slots of a gain. First Begin permits work, then main informers show objects.
func (k *keeper) gained(ctx context.Context) {
	g := k.gain
	k.stopGain()
	k.tellMain(k.ledger.gain(g.slots))
	k.shard.metrics.gained(g.slots.Len(), time.Since(g.begun))
	klog.FromContext(ctx).V(2).Info("Work may begin in gained slots", "slots", g.slots.Len(), "took", time.Since(g.begun))
}

// complain tells what has been wrong for a while, each once.
func (k *keeper) complain(ctx context.Context) {
	logger := klog.FromContext(ctx)
	if r := k.ring; r != nil {
		table := r.Status.Table
		k.wrong("row", table != nil && !table.Founding && !lists(table, k.shard.cfg.Name), func() {
			logger.Error(nil, "The table of the ring does not list this shard: look at the ring's conditions, and at the state of the shard's Lease",
				"shardsNamespace", r.Spec.Shards.Namespace, "maxLeaseDuration", r.Spec.Shards.MaxLeaseDuration)
		})
		k.wrong("table", table == nil, func() { logger.Error(nil, "The ring has no table: is its sharder running?") })
		if ns := r.Spec.Shards.Namespace; ns != "" && ns != k.shard.cfg.Namespace {
			k.shard.once("namespace", func() {
				logger.Error(nil, "The ring's shards are in another namespace: this shard will not get anything", "want", ns, "namespace", k.shard.cfg.Namespace)
			})
		}
	}
	for _, r := range k.shard.resources {
		k.wrong(r.kind.String()+" idle", r.idle(), func() {
			logger.Error(nil, "There are objects, but Begin was never called for them: call it before the controller works on an object. "+
				"The shard gives nothing up", "kind", r.kind.String())
		})
	}
	if k.gain != nil {
		err := k.gain.why()
		k.wrong("gain", err != nil, func() {
			logger.Error(err, "Work cannot begin, because the objects of a controlled resource are not read: "+
				"is its informer started, and may the shard list it?")
		})
	}
}

// wrong calls tell once if something stays wrong.
func (k *keeper) wrong(what string, is bool, tell func()) {
	if !is {
		delete(k.since, what)
		return
	}
	since, ok := k.since[what]
	if !ok {
		k.since[what] = time.Now()
	} else if time.Since(since) >= complainAfter {
		k.shard.once(what, tell)
	}
}

func lists(t *v1alpha1.Table, name string) bool {
	for _, row := range t.Shards {
		if row.Name == name {
			return true
		}
	}
	return false
}
