package assignment

import (
	"testing"
	"time"
)

func TestJoinAndLeave(t *testing.T) {
	const n = 200
	f := newFixture(t, resource(configMaps, secrets))
	s := f.startSharder(options{})
	f.create(n, "")
	a := f.startShard("a", true)
	t.Logf("first shard: %s", f.waitSettled(10*time.Second, "a"))
	f.createChildren(n, true)
	f.startShard("b", true)
	t.Logf("join: %s", f.waitSettled(20*time.Second, "a", "b"))
	f.startShard("c", true)
	t.Logf("join: %s", f.waitSettled(20*time.Second, "a", "b", "c"))
	before := s.metric(t, "clusterring_sharder_conflicts_total")
	a.leave()
	t.Logf("leave: %s", f.waitSettled(20*time.Second, "b", "c"))
	t.Logf("conflicts %v, of which %v in the leave", s.metric(t, "clusterring_sharder_conflicts_total"), s.metric(t, "clusterring_sharder_conflicts_total")-before)
}
