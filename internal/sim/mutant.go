package sim

import (
	"context"
	"encoding/json"
	"net/http"

	corev1 "k8s.io/api/core/v1"

	"github.com/clusterring/clusterring/pkg/shard"
)

// A Mutant breaks a rule of the protocol, to see that the simulation notices. The zero value breaks none.
type Mutant struct {
	// Unfenced sends what the controller writes around the fence.
	Unfenced bool
	// Careless works on objects without asking whether they are the shard's.
	Careless bool
	// Hasty says that work on an object has ended when it begins.
	Hasty bool
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
	if !m.Meddling {
		return nil
	}
	return func(req *http.Request, body []byte) []byte {
		var patch map[string]map[string]any
		if req.Method != http.MethodPatch || json.Unmarshal(body, &patch) != nil || patch["metadata"] == nil {
			return body
		}
		patch["metadata"]["annotations"] = map[string]any{"meddled": "true"}
		out, err := json.Marshal(patch)
		if err != nil {
			return body
		}
		return out
	}
}

// begin is what the controller asks before it works.
func (m Mutant) begin(ctx context.Context, configs *shard.Resource, config *corev1.ConfigMap) (_ context.Context, done func(), ours bool) {
	if m.Careless {
		return ctx, func() {}, true
	}
	ctx, done, ours = configs.Begin(ctx, config)
	if ours && m.Hasty {
		done()
		return ctx, func() {}, true
	}
	return ctx, done, ours
}
