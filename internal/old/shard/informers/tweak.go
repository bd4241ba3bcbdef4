package informers

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// nothing is a selector that no object matches. (The one of the labels package has no textual form: as a string, it
// selects everything.)
const nothing = v1alpha1.LabelRing + ",!" + v1alpha1.LabelRing

// TweakListOptions returns a func that restricts list options to the objects of the shard. A label selector that is
// there already is kept: both must match. If you have list options of your own to set, set them before calling it.
func TweakListOptions(ring, shard string) func(*metav1.ListOptions) {
	own, ownErr := labels.NewRequirement(v1alpha1.ShardLabel(ring), selection.Equals, []string{shard})
	return func(options *metav1.ListOptions) {
		if options.ResourceVersion == "0" {
			options.ResourceVersion = ""
			if options.SendInitialEvents == nil {
				// The API server refuses a match without a version, except for a watch that begins with a list.
				options.ResourceVersionMatch = ""
			}
		}
		selector, err := labels.Parse(options.LabelSelector)
		if ownErr != nil || shard == "" || err != nil {
			options.LabelSelector = nothing
			return
		}
		options.LabelSelector = selector.Add(*own).String()
	}
}
