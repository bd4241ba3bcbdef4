package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/old/shard"
)

// A Mutant breaks a rule of the protocol, to see that the simulation notices. The zero value breaks none.
type Mutant struct {
	// Unfenced sends what the controller writes around the fence.
	Unfenced bool
	// Unrestricted lists and watches objects of all shards, and works on all.
	Unrestricted bool
	// Stale takes what an API server has at hand for the first list of an informer.
	Stale bool
	// Deaf works on objects without asking whether they are to be handed over.
	Deaf bool
	// Hasty lets go of an object as soon as it is asked, also while it works on it.
	Hasty bool
	// OwnerFirst lets go of an object before its children.
	OwnerFirst bool
	// Blind writes labels in the sharder's name without the version that the decision was made on.
	Blind bool
	// Meddling has the sharder write an annotation along with its labels.
	Meddling bool
	// Refusing has admission refuse now and then.
	Refusing bool
	// Slow has the clocks of shards run at half the speed, which is more than a Lease's grace covers.
	Slow bool
	// Hoarding has the sharder keep all objects.
	Hoarding bool
}

// edit returns what changes the requests of a replica of the sharder, or nil.
func (m Mutant) edit() func(*http.Request, []byte) []byte {
	if !m.Blind && !m.Meddling {
		return nil
	}
	return func(req *http.Request, body []byte) []byte {
		var patch map[string]map[string]any
		if req.Method != http.MethodPatch || json.Unmarshal(body, &patch) != nil || patch["metadata"] == nil {
			return body
		}
		if m.Blind {
			delete(patch["metadata"], "uid")
			delete(patch["metadata"], "resourceVersion")
		}
		if m.Meddling {
			patch["metadata"]["annotations"] = map[string]any{"meddled": "true"}
		}
		out, err := json.Marshal(patch)
		if err != nil {
			return body
		}
		return out
	}
}

// tweak returns what restricts informers.
func (m Mutant) tweak(restrict func(*metav1.ListOptions)) func(*metav1.ListOptions) {
	if m.Unrestricted {
		return func(*metav1.ListOptions) {}
	}
	if !m.Stale {
		return restrict
	}
	return func(o *metav1.ListOptions) {
		restrict(o)
		if o.ResourceVersion == "" && o.Continue == "" {
			o.ResourceVersion = "0"
		}
	}
}

// handOver is what the controller asks before it works.
func (m Mutant) handOver(ctx context.Context, c *controller, config *corev1.ConfigMap) (bool, error) {
	if m.Deaf || m.Unrestricted {
		return false, nil
	}
	if m.OwnerFirst && config.Labels[c.ledger.shardLabel] == c.shard() && config.Labels[c.ledger.drainLabel] != "" {
		patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q,"labels":{%q:null,%q:null}}}`,
			config.ResourceVersion, c.ledger.shardLabel, c.ledger.drainLabel)
		_, err := c.client.CoreV1().ConfigMaps(config.Namespace).Patch(ctx, config.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		return true, err
	}
	return c.lib.HandOver(ctx, config, shard.Patch(c.client.CoreV1().ConfigMaps(config.Namespace).Patch))
}
