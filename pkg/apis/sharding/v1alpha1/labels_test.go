package v1alpha1_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestContract pins what other languages have written into their shards.
func TestContract(t *testing.T) {
	for got, want := range map[string]string{
		v1alpha1.LabelRing:                               "sharding.clusterring.dev/ring",
		v1alpha1.LabelState:                              "sharding.clusterring.dev/state",
		v1alpha1.ShardLabel("ring"):                      "shard.sharding.clusterring.dev/ring",
		v1alpha1.DrainLabel("ring"):                      "drain.sharding.clusterring.dev/ring",
		v1alpha1.HolderSharder:                           "clusterring:sharder",
		v1alpha1.ShardSelector("ring", "shard").String(): "shard.sharding.clusterring.dev/ring=shard",
		v1alpha1.UnassignedSelector("ring").String():     "!shard.sharding.clusterring.dev/ring",
		v1alpha1.DrainSelector("ring").String():          "drain.sharding.clusterring.dev/ring",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNameLength(t *testing.T) {
	longest := strings.Repeat("a", v1alpha1.MaxNameLength)
	for _, key := range []string{v1alpha1.ShardLabel(longest), v1alpha1.DrainLabel(longest)} {
		if problems := validation.IsQualifiedName(key); len(problems) > 0 {
			t.Errorf("%q: %v", key, problems)
		}
		if problems := validation.IsQualifiedName(key + "a"); len(problems) == 0 {
			t.Errorf("%q could be longer", key)
		}
	}
}

func TestSelectors(t *testing.T) {
	const ring, shard = "ring", "shard"
	assigned := labels.Set{v1alpha1.ShardLabel(ring): shard}
	draining := labels.Set{v1alpha1.ShardLabel(ring): shard, v1alpha1.DrainLabel(ring): ""}
	elsewhere := labels.Set{v1alpha1.ShardLabel(ring): "other"}
	otherRing := labels.Set{v1alpha1.ShardLabel("other"): shard, v1alpha1.DrainLabel("other"): "true"}

	type want struct{ shard, unassigned, drain bool }
	for name, test := range map[string]struct {
		labels labels.Set
		want   want
	}{
		"no labels":             {nil, want{unassigned: true}},
		"assigned":              {assigned, want{shard: true}},
		"draining":              {draining, want{shard: true, drain: true}},
		"at another shard":      {elsewhere, want{}},
		"only in another ring":  {otherRing, want{unassigned: true}},
		"assigned to no shard":  {labels.Set{v1alpha1.ShardLabel(ring): ""}, want{}},
		"unassigned, but drain": {labels.Set{v1alpha1.DrainLabel(ring): "x"}, want{unassigned: true, drain: true}},
	} {
		t.Run(name, func(t *testing.T) {
			got := want{
				shard:      v1alpha1.ShardSelector(ring, shard).Matches(test.labels),
				unassigned: v1alpha1.UnassignedSelector(ring).Matches(test.labels),
				drain:      v1alpha1.DrainSelector(ring).Matches(test.labels),
			}
			if got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// TestSelectorsOfNoRing: what cannot be a ring matches nothing, rather than everything.
func TestSelectorsOfNoRing(t *testing.T) {
	for _, ring := range []string{"", "not a name", strings.Repeat("a", v1alpha1.MaxNameLength+1)} {
		for _, selector := range []labels.Selector{v1alpha1.UnassignedSelector(ring), v1alpha1.DrainSelector(ring)} {
			if selector.Matches(labels.Set{}) || selector.Matches(labels.Set{v1alpha1.DrainLabel(ring): ""}) {
				t.Errorf("%q: %s matches", ring, selector)
			}
		}
	}
}
