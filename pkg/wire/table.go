package wire

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
)

// ReadTable reads the table in the status of a ring, nil if there is none. A table that contradicts itself is an error.
func ReadTable(t *v1alpha1.Table) (*ring.Table, error) {
	if t == nil {
		return nil, nil
	}
	out := &ring.Table{Ring: string(t.Ring), Revision: t.Revision, Founding: t.Founding}
	if t.Revision < 1 || t.Revision > MaxRevision {
		return nil, fmt.Errorf("table: revision %d is not between 1 and %d", t.Revision, int64(MaxRevision))
	}
	if t.Founding && len(t.Shards) > 0 {
		return nil, errors.New("table: a founding one has no shards")
	}
	var taken ring.Slots
	seen := map[types.UID]bool{}
	for _, s := range t.Shards {
		row := ring.Row{Name: s.Name, Lease: string(s.Lease), Since: s.Since}
		var err error
		if row.Slots, err = ring.ParseSlots(s.Slots); err != nil {
			return nil, fmt.Errorf("table: shard %.63q: %w", s.Name, err)
		}
		if row.Releasing, err = ring.ParseSlots(s.Releasing); err != nil {
			return nil, fmt.Errorf("table: shard %.63q: releasing: %w", s.Name, err)
		}
		if twice := taken.Intersect(row.Slots); !twice.Empty() {
			return nil, fmt.Errorf("table: shard %.63q: another one has slots %.40s, too", s.Name, twice.String())
		}
		if other := row.Releasing.Minus(row.Slots); !other.Empty() {
			return nil, fmt.Errorf("table: shard %.63q: is to release slots %.40s, which it does not have", s.Name, other.String())
		}
		switch {
		case s.Name == "" || s.Lease == "" || seen[s.Lease]:
			return nil, fmt.Errorf("table: shard %.63q: without a name or a Lease, or twice", s.Name)
		case row.Since < 0 || row.Since > t.Revision || row.Since == 0 && !row.Releasing.Empty():
			return nil, fmt.Errorf("table: shard %.63q: since %d is not a revision up to %d", s.Name, row.Since, t.Revision)
		}
		seen[s.Lease] = true
		taken = taken.Union(row.Slots)
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// WriteTable returns the table as it stands in the status of a ring.
func WriteTable(t ring.Table) *v1alpha1.Table {
	out := &v1alpha1.Table{Ring: types.UID(t.Ring), Revision: t.Revision, Founding: t.Founding}
	for _, row := range t.Rows {
		out.Shards = append(out.Shards, v1alpha1.TableShard{
			Name: row.Name, Lease: types.UID(row.Lease), Since: row.Since,
			Slots: row.Slots.String(), Releasing: row.Releasing.String(),
		})
	}
	return out
}
