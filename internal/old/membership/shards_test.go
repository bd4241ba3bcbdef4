package membership_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func TestShards(t *testing.T) {
	tests := map[string]struct {
		leases       []*coordinationv1.Lease
		wantShards   []string // namespace/name, whether it is in the ring, marked
		wantIgnored  []string // namespace/name: a part of the reason
		wantMembers  []string
		wantEligible []string
	}{
		"no leases": {},
		"healthy, sorted by name": {
			leases:       []*coordinationv1.Lease{newLease("b"), newLease("a"), newLease("c")},
			wantShards:   []string{"default/a held", "default/b held", "default/c held"},
			wantMembers:  []string{"a", "b", "c"},
			wantEligible: []string{"a", "b", "c"},
		},
		"one without acquireTime, transitions or duration": {
			leases:       []*coordinationv1.Lease{newLease("a", withoutAcquireTime, withoutDuration)},
			wantShards:   []string{"default/a held"},
			wantMembers:  []string{"a"},
			wantEligible: []string{"a"},
		},
		"the longest duration": {
			leases:       []*coordinationv1.Lease{newLease("a", lasting(1<<31-1))},
			wantShards:   []string{"default/a held"},
			wantMembers:  []string{"a"},
			wantEligible: []string{"a"},
		},
		"not held": {
			leases: []*coordinationv1.Lease{
				newLease("empty", heldBy("")), newLease("nil", withoutHolder), newLease("sharder", heldBy(v1alpha1.HolderSharder)),
			},
			wantShards: []string{"default/empty", "default/nil", "default/sharder"},
		},
		"held, but unusable": {
			leases: []*coordinationv1.Lease{
				newLease("timeless", withoutTimes), newLease("unrenewed", withoutRenewTime), newLease("zero", lasting(0)),
				newLease("negative", lasting(-1)), newLease("bare", withoutSpec), newLease("ok"),
			},
			wantShards: []string{
				"default/bare", "default/negative", "default/ok held", "default/timeless", "default/unrenewed", "default/zero",
			},
			wantMembers:  []string{"ok"},
			wantEligible: []string{"ok"},
		},
		"marked ones get nothing new": {
			leases: []*coordinationv1.Lease{
				newLease("expired", marked(membership.StateExpired)), newLease("ready", marked(membership.StateReady)),
				newLease("uncertain", marked(membership.StateUncertain)), newLease("new"),
			},
			wantShards: []string{
				"default/expired held marked", "default/new held", "default/ready held", "default/uncertain held marked",
			},
			wantMembers:  []string{"expired", "new", "ready", "uncertain"},
			wantEligible: []string{"new", "ready"},
		},
		"a mark that is out of date": {
			leases: []*coordinationv1.Lease{
				newLease("came-back", marked(membership.StateDead)), newLease("edited", marked("nonsense")),
				newLease("left", marked(membership.StateReady), heldBy("")),
			},
			wantShards:   []string{"default/came-back held", "default/edited held", "default/left"},
			wantMembers:  []string{"came-back", "edited"},
			wantEligible: []string{"came-back", "edited"},
		},
		"all marked": {
			leases: []*coordinationv1.Lease{
				newLease("a", marked(membership.StateExpired)), newLease("b", marked(membership.StateUncertain)),
				newLease("dead", heldBy("")),
			},
			wantShards:   []string{"default/a held marked", "default/b held marked", "default/dead"},
			wantMembers:  []string{"a", "b"},
			wantEligible: []string{"a", "b"},
		},
		"a dead one that is marked": {
			leases:     []*coordinationv1.Lease{newLease("a", heldBy(""), marked(membership.StateUncertain))},
			wantShards: []string{"default/a marked"},
		},
		"of another ring, or none": {
			leases: []*coordinationv1.Lease{newLease("a", ofRing("bar")), newLease("b", ofRing("")), newLease("c", withoutLabels), nil},
		},
		"name of 63 characters": {
			leases:       []*coordinationv1.Lease{newLease(strings.Repeat("a", 63))},
			wantShards:   []string{"default/" + strings.Repeat("a", 63) + " held"},
			wantMembers:  []string{strings.Repeat("a", 63)},
			wantEligible: []string{strings.Repeat("a", 63)},
		},
		"names that are no label values": {
			leases: []*coordinationv1.Lease{newLease(strings.Repeat("a", 64)), newLease("a:b"), newLease("-a"), newLease("")},
			wantIgnored: []string{
				"default/: the Lease has no name",
				"default/-a: the name of a shard becomes the value of a label: a valid label must be",
				"default/a:b: the name of a shard becomes the value of a label: a valid label must be",
				"default/" + strings.Repeat("a", 64) + ": the name of a shard becomes the value of a label: must be no more than 63",
			},
		},
		"one name in two namespaces: the older counts": {
			leases: []*coordinationv1.Lease{
				newLease("a", inNamespace("one"), createdAfter(time.Second)), newLease("a", inNamespace("two")),
			},
			wantShards:   []string{"two/a held"},
			wantIgnored:  []string{"one/a: the Lease two/a has the same name and counts instead"},
			wantMembers:  []string{"a"},
			wantEligible: []string{"a"},
		},
		"one name in two namespaces: one that a process holds counts before an older one that none does": {
			leases: []*coordinationv1.Lease{
				newLease("a", inNamespace("one"), createdAfter(time.Second)), newLease("a", inNamespace("two"), heldBy("")),
			},
			wantShards:   []string{"one/a held"},
			wantIgnored:  []string{"two/a: the Lease one/a has the same name and counts instead"},
			wantMembers:  []string{"a"},
			wantEligible: []string{"a"},
		},
		"one name in two namespaces, neither held: the older counts": {
			leases: []*coordinationv1.Lease{
				newLease("a", inNamespace("one"), createdAfter(time.Second), heldBy("")),
				newLease("a", inNamespace("two"), heldBy(v1alpha1.HolderSharder)),
			},
			wantShards:  []string{"two/a"},
			wantIgnored: []string{"one/a: the Lease two/a has the same name and counts instead"},
		},
		"one name in three namespaces, of one age: the lowest UID counts": {
			leases: []*coordinationv1.Lease{
				newLease("a", inNamespace("one"), withUID("2")), newLease("a", inNamespace("two"), withUID("1")),
				newLease("a", inNamespace("three"), withUID("3")),
			},
			wantShards: []string{"two/a held"},
			wantIgnored: []string{
				"one/a: the Lease two/a has the same name and counts instead", "three/a: the Lease two/a has the same name and counts instead",
			},
			wantMembers:  []string{"a"},
			wantEligible: []string{"a"},
		},
		"one name in two rings": {
			leases:       []*coordinationv1.Lease{newLease("a", inNamespace("one"), ofRing("bar")), newLease("a", inNamespace("two"))},
			wantShards:   []string{"two/a held"},
			wantMembers:  []string{"a"},
			wantEligible: []string{"a"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			shards, ignored := membership.Shards(testRing, tt.leases)
			if diff := cmp.Diff(tt.wantShards, describe(shards)); diff != "" {
				t.Errorf("shards (-want +got):\n%s", diff)
			}
			if len(ignored) != len(tt.wantIgnored) {
				t.Fatalf("ignored %v, want %v", ignored, tt.wantIgnored)
			}
			for i, want := range tt.wantIgnored {
				if got := ignored[i].Lease.Namespace + "/" + ignored[i].Lease.Name + ": " + ignored[i].Reason; !strings.HasPrefix(got, want) {
					t.Errorf("ignored %q, want %q", got, want)
				}
			}
			if diff := cmp.Diff(tt.wantMembers, memberNames(membership.Members(shards))); diff != "" {
				t.Errorf("members (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.wantEligible, memberNames(membership.Eligible(shards))); diff != "" {
				t.Errorf("eligible (-want +got):\n%s", diff)
			}
		})
	}
}

func TestShardsKeepsTheData(t *testing.T) {
	lease := newLease("a", inNamespace("one"), marked(membership.StateExpired))
	shards, _ := membership.Shards(testRing, []*coordinationv1.Lease{lease})
	want := []membership.Shard{{
		Name: "a", Namespace: "one", Holder: "process-of-a", Held: true, Marked: true, State: membership.StateExpired, Lease: lease,
	}}
	if diff := cmp.Diff(want, shards); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if shards[0].Lease != lease {
		t.Error("the Lease was copied")
	}
}

// TestShardsOrderDoesNotMatter shuffles Leases, among them several of one name.
func TestShardsOrderDoesNotMatter(t *testing.T) {
	leases := []*coordinationv1.Lease{
		newLease("a"), newLease("b"), newLease("b", inNamespace("other")), newLease("b", inNamespace("third"), createdAfter(-time.Hour)),
		newLease("c", withUID("2")), newLease("c", inNamespace("other"), withUID("1")), newLease(strings.Repeat("x", 64)),
	}
	wantShards, wantIgnored := membership.Shards(testRing, leases)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		rng.Shuffle(len(leases), func(i, j int) { leases[i], leases[j] = leases[j], leases[i] })
		shards, ignored := membership.Shards(testRing, leases)
		if diff := cmp.Diff(wantShards, shards) + cmp.Diff(wantIgnored, ignored); diff != "" {
			t.Fatalf("another order, another result:\n%s", diff)
		}
	}
}

func describe(shards []membership.Shard) []string {
	var out []string
	for _, s := range shards {
		text := s.Namespace + "/" + s.Name
		if s.Held {
			text += " held"
		}
		if s.Marked {
			text += " marked"
		}
		out = append(out, text)
	}
	return out
}

func memberNames(members []ring.Member) []string {
	var out []string
	for _, m := range members {
		out = append(out, m.Name)
	}
	return out
}
