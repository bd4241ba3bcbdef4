package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/partition"
)

// TestMovement: without faults, those objects move that the ring gives to another shard, from the one to the other, and no
// others do (G5). What the ring gives to whom is tested in pkg/ring.
func TestMovement(t *testing.T) {
	const shards, objects = 3, 120
	joiner := shardName(shards)
	without, with := map[string]bool{}, map[string]bool{joiner: true}
	for i := range shards {
		without[shardName(i)], with[shardName(i)] = true, true
	}
	for name, tc := range map[string]struct {
		actions []Action
		members []map[string]bool // one after the other
	}{
		"join": {
			actions: []Action{{At: 20 * time.Second, Kind: join, Target: joiner}},
			members: []map[string]bool{without, with},
		},
		"join and leave": {
			actions: []Action{{At: 20 * time.Second, Kind: join, Target: joiner}, {At: time.Minute, Kind: leave, Target: joiner}},
			members: []map[string]bool{without, with, without},
		},
		"join and crash": {
			actions: []Action{{At: 20 * time.Second, Kind: join, Target: joiner}, {At: time.Minute, Kind: leave, Target: joiner, N: 1}},
			members: []map[string]bool{without, with, without},
		},
	} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(name, "/", seed+1), func(t *testing.T) {
				plan := Plan{Seed: seed + 1, Shards: shards, Replicas: 2, Servers: 1, Objects: objects, AuditInterval: time.Minute, Trouble: 90 * time.Second, Actions: tc.actions}
				result := simulate(t, plan, Options{})
				for _, f := range result.Findings {
					t.Error(f)
				}
				want := map[Flow]int{}
				for i := 1; i < len(tc.members); i++ {
					before, after := ringOf(t, tc.members[i-1]), ringOf(t, tc.members[i])
					for n := range objects {
						key := partition.Key(schema.GroupKind{Kind: "ConfigMap"}, namespaceOf(n), objectName(n))
						from, _ := before.Owner(key)
						if to, _ := after.Owner(key); from != to {
							want[Flow{from, to}]++
						}
					}
				}
				if diff := cmp.Diff(want, result.Flows); diff != "" {
					t.Error(Finding{"G5", result.Virtual, "moves (-want +got):\n" + diff})
				}
				if result.Splits > 0 {
					t.Errorf("%d objects have left a child behind", result.Splits)
				}
			})
		}
	}
}

func ringOf(t *testing.T, members map[string]bool) *ring.Ring {
	t.Helper()
	var list []ring.Member
	for name := range members {
		list = append(list, ring.Member{Name: name})
	}
	r, err := ring.New(list...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
