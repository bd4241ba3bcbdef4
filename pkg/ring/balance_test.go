package ring

import (
	"fmt"
	"testing"
)

// TestBalanceInObjects bounds the fullest shard in objects: slots are divided to one, and do not hold the same number of keys.
func TestBalanceInObjects(t *testing.T) {
	const keys = 100_000
	var objects [Count]int
	for i := range keys {
		objects[Slot(fmt.Sprintf("samplecontroller.clusterring.dev/Foo/ns/foo-%d", i))]++
	}
	for n, limit := range map[int]float64{3: 1.012, 5: 1.016, 10: 1.03, 30: 1.07} {
		t.Run(fmt.Sprintf("shards=%d", n), func(t *testing.T) {
			h := newHistory(t, 1)
			for i := range n {
				h.join(fmt.Sprintf("foo-controller-%d", i), 1, false)
			}
			h.settle(true)
			most := 0
			for _, row := range h.table.Rows {
				has := 0
				for slot := range row.Slots.All() {
					has += objects[slot]
				}
				most = max(most, has)
			}
			got := float64(most*n) / keys
			t.Logf("the fullest of %d shards has %.4f times the mean", n, got)
			if got > limit || most == 0 {
				t.Errorf("the fullest shard has %.4f times the mean, want at most %.3f", got, limit)
			}
		})
	}
}
