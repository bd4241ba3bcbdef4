package sim

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/shard"
)

// A Mutant breaks a rule of the protocol, to see that the simulation notices. The zero value breaks none.
type Mutant struct {
	// Unfenced sends what the controller writes around the fence.
	Unfenced bool
	// Unrestricted lists and watches objects of all shards, and works on all.
	Unrestricted bool
	// Deaf works on objects without asking whether they are to be handed over.
	Deaf bool
	// Hasty lets go of an object as soon as it is asked, also while it works on it.
	Hasty bool
	// Blind writes labels in the sharder's name without the version that the decision was made on.
	Blind bool
}

// tweak returns what restricts informers.
func (m Mutant) tweak(restrict func(*metav1.ListOptions)) func(*metav1.ListOptions) {
	if m.Unrestricted {
		return func(*metav1.ListOptions) {}
	}
	return restrict
}

// handOver is what the controller asks before it works.
func (m Mutant) handOver(ctx context.Context, c *controller, config *corev1.ConfigMap) (bool, error) {
	if m.Deaf || m.Unrestricted {
		return false, nil
	}
	return c.lib.HandOver(ctx, config, shard.Patch(c.client.CoreV1().ConfigMaps(config.Namespace).Patch))
}
