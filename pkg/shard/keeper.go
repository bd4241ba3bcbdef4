package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	// maxRetry is the longest time between two attempts to give the shard's word.
	maxRetry = 2 * time.Second
)

// A keeper makes the shard follow the table: it opens and closes slots, gives the shard's word, and tells informers. It
// works for one Lease, in one goroutine.
type keeper struct {
	shard  *Shard
	ledger *ledger
	rings  chan *v1alpha1.ClusterRing // has room for one: the newest

	ring *v1alpha1.ClusterRing // as last seen, nil if it is not there
	read bool                  // the ring was looked for
	seat ring.Seat             // as last seen

	// shown is the word that the Lease shows, as far as it is known.
	shown ring.Holds
	// shows says that main informers were told their slots.
	shows bool
	// missing are the slots that controlled informers read since begun.
	missing ring.Slots
	begun   time.Time

	asked   time.Time // since when slots are given up
	retry   <-chan time.Time
	retries wait.Backoff
	since   map[string]time.Time // for complaints
}

func newKeeper(s *Shard) *keeper {
	return &keeper{
		shard: s, ledger: s.ledger, rings: make(chan *v1alpha1.ClusterRing, 1), retries: backoff(maxRetry), since: map[string]time.Time{},
	}
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
	tick := time.NewTicker(complainPeriod)
	defer tick.Stop()
	k.ledger.sit(k.shard.cfg.Name, string(k.shard.lease.UID()))
	for {
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
	before := k.seat
	k.seat = k.ledger.see(string(r.UID), t)
	if k.seat.Slots != before.Slots || k.seat.Releasing != before.Releasing {
		logger.Info("The shard has other slots", "revision", k.seat.Revision, "slots", k.seat.Slots.Len(),
			"gained", k.seat.Own().Minus(before.Own()).Len(), "releasing", k.seat.Releasing.Len())
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
		k.shard.metrics.release.Observe(time.Since(k.asked).Seconds())
		k.asked = time.Time{}
	}
	if !k.read {
		return
	}
	// Main informers are told of their first slots when their controlled objects are there, so that they have synced when
	// everything is. Losses are shown to them first.
	if k.shows || missing.Empty() {
		k.show(true, gained)
	}
	// What was given up since the last look is lost first, even if it is the shard's own again: others may have worked there.
	k.show(false, gained.Union(missing.Intersect(k.missing)))
	k.show(false, gained.Union(missing))
	if missing != k.missing {
		k.missing, k.begun = missing, time.Now()
	}
	if !missing.Empty() && k.unread() == nil {
		k.gain(ctx)
	}
}

// show tells informers of main or of controlled resources which slots to show.
func (k *keeper) show(main bool, slots ring.Slots) {
	k.shows = k.shows || main
	for _, r := range k.shard.resources {
		if r.main == main {
			r.informer.Set(slots)
		}
	}
}

// unread returns why controlled informers do not have all that is missing, or nil if they do.
func (k *keeper) unread() error {
	for _, r := range k.shard.resources {
		if r.main {
			continue
		}
		synced, err := r.informer.Synced()
		if left := k.missing.Minus(synced); !left.Empty() {
			return errors.Join(fmt.Errorf("objects of %s in %d slots are not read", r.kind, left.Len()), err)
		}
	}
	return nil
}

// gain opens the missing slots. First Begin permits work, then main informers show objects.
func (k *keeper) gain(ctx context.Context) {
	slots, took := k.missing.Len(), time.Since(k.begun)
	k.show(true, k.ledger.gain(k.missing))
	k.missing = ring.Slots{}
	k.shard.metrics.gains.Add(float64(slots))
	k.shard.metrics.gain.Observe(took.Seconds())
	klog.FromContext(ctx).V(2).Info("Work may begin in gained slots", "slots", slots, "took", took)
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
		k.retry = time.After(k.retries.Step())
		return
	}
	k.retries = backoff(maxRetry)
	if k.ledger.mustWrite(k.shown) {
		k.ledger.poke() // work has ended while it was written
	}
}

// complain tells what has been wrong for a while, each once.
func (k *keeper) complain(ctx context.Context) {
	logger := klog.FromContext(ctx)
	if r := k.ring; r != nil {
		table := r.Status.Table
		listed := table != nil && slices.ContainsFunc(table.Shards, func(row v1alpha1.TableShard) bool { return row.Name == k.shard.cfg.Name })
		k.wrong("row", table != nil && !table.Founding && !listed, func() {
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
	err := k.unread()
	k.wrong("gain", err != nil, func() {
		logger.Error(err, "Work cannot begin: are the informers of all controlled resources started, and may the shard list them?")
	})
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
