package table

import (
	"context"
	"reflect"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// state is what one term knows of a ring. Only the worker that has the ring touches it.
type state struct {
	uid types.UID
	// object is the newest version that was read live or written, nil before the first read.
	object *v1alpha1.ClusterRing
	// unsure says that a write failed, so that object may be old.
	unsure bool
	// trusted is the table that this leader found or wrote, and sent are those of its writes without an answer.
	trusted *v1alpha1.Table
	sent    []*v1alpha1.Table
	// lost says that somebody else wrote the table that is there now.
	lost bool
	// founded is when this leader last founded a table because somebody else had written it.
	founded time.Time
	told    time.Time // when the status was last written
	// joined is when this leader first saw a shard as a member, zero for those that had slots when its term began.
	joined   map[string]time.Time
	progress progress
	// listing is what a founding was last read from, nil before that.
	listing *listing
}

// foundingInterval is the least time between two foundings because somebody else writes the table. Two leaders, say of two
// installations, would otherwise do nothing but found.
const foundingInterval = 10 * time.Second

// current returns the newest version of the ring, and its table, the zero value if there is none. The object is nil if the
// ring is gone, or is not that of the snapshot any more.
func (c *Controller) current(ctx context.Context, r *snapshot.Ring, s *state) (*v1alpha1.ClusterRing, ring.Table, error) {
	live := false
	if s.object == nil || s.unsure {
		live = true
	} else if cached, ok, err := c.cfg.Rings.GetIndexer().GetByKey(r.Object.Name); err == nil && ok {
		object := cached.(*v1alpha1.ClusterRing)
		if newer(object, s.object) {
			if same(object.Status.Table, s.object.Status.Table) && object.UID == s.uid {
				s.object = object
			} else {
				live = true // Somebody else has written it, or this leader's write has arrived.
			}
		}
	}
	if live {
		object, err := c.get(ctx, r.Object.Name)
		if apierrors.IsNotFound(err) {
			return nil, ring.Table{}, nil
		}
		if err != nil {
			return nil, ring.Table{}, err
		}
		if object.UID != s.uid {
			return nil, ring.Table{}, nil // A snapshot of it is on its way.
		}
		s.read(ctx, object)
	}
	table, err := wire.ReadTable(s.object.Status.Table)
	switch {
	case err != nil:
		klog.FromContext(ctx).Error(err, "The table cannot be read: it is lost", "ring", r.Object.Name)
		s.lost = true
		// The revision counts all the same, if anybody can have seen it.
		t := ring.Table{Ring: string(s.object.Status.Table.Ring)}
		if n := s.object.Status.Table.Revision; n > 0 && n <= wire.MaxRevision/2 {
			t.Revision = n
		}
		return s.object, t, nil
	case table == nil:
		return s.object, ring.Table{}, nil
	default:
		return s.object, *table, nil
	}
}

// read takes over a version of the ring that was read live, and finds out who wrote its table.
func (s *state) read(ctx context.Context, object *v1alpha1.ClusterRing) {
	first := s.object == nil
	unchanged := !first && object.ResourceVersion == s.object.ResourceVersion
	table := object.Status.Table
	s.object, s.unsure = object, false
	if first {
		s.trusted = table
		return
	}
	for _, sent := range s.sent {
		if same(table, sent) {
			s.trusted, s.sent, s.lost = sent, nil, false
			return
		}
	}
	if !unchanged {
		s.sent = nil // What was sent before can't arrive any more.
	}
	if !s.lost && !same(table, s.trusted) {
		s.lost = true
		klog.FromContext(ctx).Info("Somebody else has written the table: it is lost", "ring", object.Name)
	}
}

// unanswered notes a table that may have been stored. Retries of one, which a refusal makes endless, are noted once.
func (s *state) unanswered(table *v1alpha1.Table) {
	s.unsure = true
	if n := len(s.sent); n == 0 || !same(s.sent[n-1], table) {
		s.sent = append(s.sent, table)
	}
}

// wrote takes over what the API server answered to a write.
func (s *state) wrote(object *v1alpha1.ClusterRing) {
	s.object, s.trusted, s.sent, s.lost, s.unsure = object, object.Status.Table, nil, false, false
}

func newer(a, b *v1alpha1.ClusterRing) bool {
	order, err := resourceversion.CompareResourceVersion(a.ResourceVersion, b.ResourceVersion)
	return err != nil && a.ResourceVersion != b.ResourceVersion || order > 0
}

func same(a, b *v1alpha1.Table) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Ring == b.Ring && a.Revision == b.Revision && a.Founding == b.Founding &&
		(len(a.Shards) == 0 && len(b.Shards) == 0 || reflect.DeepEqual(a.Shards, b.Shards))
}
