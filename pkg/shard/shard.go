package shard

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	shardingv1alpha1client "github.com/clusterring/clusterring/generated/clientset/versioned/typed/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/internal/source"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A Shard is this process as a member of a ring. Its methods may be called concurrently.
type Shard struct {
	cfg    Config
	lease  *lease.Lease
	rings  shardingv1alpha1client.ClusterRingInterface
	ledger *ledger
	// metrics is not changed after New.
	metrics metrics
	// standalone is set by package shardtest: the shard has slots without a Lease and a table.
	standalone bool

	mu        sync.Mutex
	resources map[schema.GroupKind]*Resource // not changed once Run was called
	problems  []error                        // for Run
	told      map[string]bool
	reading   source.Trouble // of reads of the ring
	unproved  error          // why it is not known that everything can be read
}

// New returns a Shard that holds nothing yet. It does no requests. The error names everything that is wrong with the config.
func New(cfg Config) (*Shard, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("shard config: %w", err)
	}
	cfg.RESTConfig = rest.CopyConfig(cfg.RESTConfig)
	client, err := leaseClient(cfg.RESTConfig)
	if err != nil {
		return nil, err
	}
	s := &Shard{cfg: cfg, resources: map[schema.GroupKind]*Resource{}, told: map[string]bool{}, unproved: errProbing}
	if s.rings, err = ringClient(cfg.RESTConfig); err != nil {
		return nil, err
	}
	s.ledger = newLedger(s.Valid, s.unbegun)
	leaseCfg := cfg.leaseConfig(client)
	leaseCfg.Annotations, leaseCfg.Healthy, leaseCfg.Requests = s.annotations, s.healthy, s.request
	if s.lease, err = lease.New(leaseCfg); err != nil {
		return nil, err
	}
	if err := s.metrics.register(cfg.Registerer, cfg.Ring, s.ledger); err != nil {
		return nil, fmt.Errorf("register the metrics of the shard: %w", err)
	}
	return s, nil
}

// Ring returns the name of the ring.
func (s *Shard) Ring() string { return s.cfg.Ring }

// Name returns the name of the shard, which is also the name of its Lease.
func (s *Shard) Name() string { return s.cfg.Name }

// Identity returns what is written as the holder of the Lease.
func (s *Shard) Identity() string { return s.cfg.Identity }

// RESTConfig returns a config for the clients of the controller. Their requests go through the fence: what could change
// something is refused, with lease.ErrNotHeld, unless the Lease is valid.
func (s *Shard) RESTConfig() *rest.Config {
	config := rest.CopyConfig(s.cfg.RESTConfig)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return s.lease.Fence(next) })
	return config
}

// LabelChild labels an object that is about to be created with the slot of its owner, as the owner's label has it, so
// that its creation needs no call of the webhook. An owner without a slot changes nothing, nor does a nil Shard.
func (s *Shard) LabelChild(child, owner metav1.Object) {
	if s == nil {
		return
	}
	slot, ok := wire.Slot(owner.GetLabels(), s.cfg.Ring)
	if !ok {
		return
	}
	labels := maps.Clone(child.GetLabels())
	if labels == nil {
		labels = map[string]string{}
	}
	labels[wire.SlotLabel(s.cfg.Ring)] = strconv.Itoa(slot)
	child.SetLabels(labels)
}

// Valid reports whether the shard holds its Lease and may act.
func (s *Shard) Valid() bool { return s.standalone || s.lease.Valid() }

// Deadline returns when the Lease runs out unless it is renewed before. It is zero if the Lease was never held.
func (s *Shard) Deadline() time.Time {
	if s.standalone {
		return time.Now().Add(s.leaseDuration())
	}
	return s.lease.Deadline()
}

// annotations returns what the Lease is to show.
func (s *Shard) annotations() map[string]string {
	annotations := map[string]string{wire.AnnotationWeight: strconv.Itoa(s.cfg.Weight)}
	if word := s.ledger.word(); word.Revision > 0 {
		annotations[wire.AnnotationHolds] = wire.FormatHolds(word)
	}
	return annotations
}

// request is called by the fence.
func (s *Shard) request(ctx context.Context) func(until time.Time) {
	slot := -1
	if w, ok := ctx.Value(workKey{s}).(*work); ok {
		slot = w.slot
	}
	return s.ledger.request(slot)
}

// unbegun reports whether there are objects that nobody has ever begun to work on.
func (s *Shard) unbegun() bool {
	for _, r := range s.resources {
		if r.idle() {
			return true
		}
	}
	return false
}

// once calls tell unless it was called for the subject before.
func (s *Shard) once(subject string, tell func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.told[subject] {
		s.told[subject] = true
		tell()
	}
}
