package informers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

func TestTweakListOptions(t *testing.T) {
	mine := labels.Set{v1alpha1.ShardLabel("r"): "a"}
	with := func(extra ...string) labels.Set {
		set := labels.Set{v1alpha1.ShardLabel("r"): "a"}
		for i := 0; i < len(extra); i += 2 {
			set[extra[i]] = extra[i+1]
		}
		return set
	}
	for name, tc := range map[string]struct {
		ring, shard string // default: r, a
		selector    string // that is there already
		matches     []labels.Set
		not         []labels.Set
	}{
		"alone": {
			matches: []labels.Set{mine, with("x", "y"), with(v1alpha1.DrainLabel("r"), "")},
			not:     []labels.Set{{}, {v1alpha1.ShardLabel("r"): "b"}, {v1alpha1.ShardLabel("s"): "a"}},
		},
		"with another": {
			selector: "x in (y,z),!w",
			matches:  []labels.Set{with("x", "y"), with("x", "z")},
			not:      []labels.Set{mine, {"x": "y"}, with("x", "y", "w", "")},
		},
		"with one that contradicts": {
			selector: v1alpha1.ShardLabel("r") + "=b",
			not:      []labels.Set{mine, {v1alpha1.ShardLabel("r"): "b"}},
		},
		"with one that is invalid": {
			selector: "x in (y",
			not:      []labels.Set{{}, mine, {"x": "y"}},
		},
		"empty shard":   {shard: "-", not: []labels.Set{{}, mine, {v1alpha1.ShardLabel("r"): ""}}},
		"invalid shard": {shard: strings.Repeat("a", 64), not: []labels.Set{{}, mine}},
		"empty ring":    {ring: "-", not: []labels.Set{{}, mine}},
		"invalid ring":  {ring: strings.Repeat("r", 64), not: []labels.Set{{}, mine}},
	} {
		t.Run(name, func(t *testing.T) {
			ring, shard := "r", "a"
			if tc.ring != "" {
				ring = strings.TrimSuffix(tc.ring, "-")
			}
			if tc.shard != "" {
				shard = strings.TrimSuffix(tc.shard, "-")
			}
			options := metav1.ListOptions{LabelSelector: tc.selector, FieldSelector: "metadata.name=x", Limit: 3, ResourceVersion: "7"}
			TweakListOptions(ring, shard)(&options)
			// What counts is what the API server makes of the text.
			selector, err := labels.Parse(options.LabelSelector)
			if err != nil {
				t.Fatalf("%q: %v", options.LabelSelector, err)
			}
			for _, set := range tc.matches {
				if !selector.Matches(set) {
					t.Errorf("%q does not match %v", options.LabelSelector, set)
				}
			}
			for _, set := range tc.not {
				if selector.Matches(set) {
					t.Errorf("%q matches %v", options.LabelSelector, set)
				}
			}
			want := metav1.ListOptions{LabelSelector: options.LabelSelector, FieldSelector: "metadata.name=x", Limit: 3, ResourceVersion: "7"}
			if diff := cmp.Diff(want, options); diff != "" {
				t.Errorf("more than the selector was changed (-want +got):\n%s", diff)
			}
			once := options.LabelSelector
			TweakListOptions(ring, shard)(&options)
			again, err := labels.Parse(options.LabelSelector)
			if err != nil || len(tc.matches) > 0 && !again.Matches(tc.matches[0]) {
				t.Errorf("twice: %q, once: %q", options.LabelSelector, once)
			}
		})
	}
}

// Old data may show objects that have gone to another shard, so the first list must not take what is at hand.
func TestFirstListIsConsistent(t *testing.T) {
	for name, tc := range map[string]struct{ in, want metav1.ListOptions }{
		"first list": {
			in: metav1.ListOptions{ResourceVersion: "0"},
		},
		"first list with a match": {
			in: metav1.ListOptions{ResourceVersion: "0", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan},
		},
		"watch that begins with a list": {
			in: metav1.ListOptions{
				ResourceVersion: "0", ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, SendInitialEvents: ptr.To(true),
			},
			want: metav1.ListOptions{
				ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, SendInitialEvents: ptr.To(true),
			},
		},
		"later": {
			in:   metav1.ListOptions{ResourceVersion: "4711"},
			want: metav1.ListOptions{ResourceVersion: "4711"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := tc.in
			TweakListOptions("r", "a")(&got)
			got.LabelSelector = ""
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
