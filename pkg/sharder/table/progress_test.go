package table

import (
	"testing"
	"time"

	"github.com/clusterring/clusterring/pkg/ring"
)

// A table waits for shards that were asked a moment ago and have not answered, and not for what a shard that has answered is
// busy with.
func TestGather(t *testing.T) {
	asked := time.Now()
	for name, tc := range map[string]struct {
		answered ring.Holds
		gone     bool
		after    time.Duration
		want     time.Duration
	}{
		"no answer yet":      {answered: ring.Holds{Revision: 6}, after: 30 * time.Millisecond, want: gathering - 30*time.Millisecond},
		"no answer for long": {answered: ring.Holds{Revision: 6}, after: time.Second, want: gathering - time.Second},
		"answered":           {answered: ring.Holds{Revision: 7}},
		"busy":               {answered: ring.Holds{Revision: 7, Slots: ring.SlotsOf(2)}},
		"gone":               {answered: ring.Holds{Revision: 6}, gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			var p progress
			p.see(ring.Table{Revision: 7, Rows: []ring.Row{
				{Name: "a", Lease: "a", Slots: ring.SlotsOf(1, 2), Releasing: ring.SlotsOf(2), Since: 7}, {Name: "b", Lease: "b", Slots: ring.SlotsOf(3)},
			}}, asked)
			leases := []ring.Lease{{UID: "a", Holds: tc.answered, Gone: tc.gone}, {UID: "b"}}
			if got := p.gather(leases, asked.Add(tc.after)); got != tc.want {
				t.Errorf("waits for %s, want %s", got, tc.want)
			}
			// Another table that asks for nothing new does not begin the time again.
			p.see(ring.Table{Revision: 8, Rows: p.table.Rows}, asked.Add(time.Hour))
			if got := p.gather(leases, asked.Add(tc.after)); got != tc.want {
				t.Errorf("after another table it waits for %s, want %s", got, tc.want)
			}
		})
	}
}
