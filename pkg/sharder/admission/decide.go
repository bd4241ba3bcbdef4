package admission

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// result is what became of a request. It is the value of a label of a metric.
type result string

const (
	resultLabelled  result = "labelled"
	resultUnchanged result = "unchanged" // the object has its label already, or this is no birth
	resultNameless  result = "nameless"  // a main object without a name yet, left to the watch
	resultUnowned   result = "unowned"   // a grandchild whose owner's label could not be read, left to the audit
	resultForeign   result = "foreign"   // the object does not belong to a family of the ring
	resultOutside   result = "outside"   // the object's root is outside of the ring's namespaces
	resultUnknown   result = "unknown"   // this replica does not know the ring, or the namespace
	resultInvalid   result = "invalid"   // there is something wrong with the object
)

// decision is what is done with an object.
type decision struct {
	result result
	// slot is the value of the label if result is resultLabelled.
	slot string
	// problem is what is wrong with the object, if anything is.
	problem string
}

// owners reads the label of a grandchild's owner. ok is false if it could not be read, or is not valid.
type owners func(ctx context.Context, owner snapshot.Owner) (slot string, ok bool)

// decide answers what package labels would write.
func decide(ctx context.Context, rule snapshot.Rule, req *request, ownerOf owners) decision {
	if req.problem != "" {
		return decision{result: resultInvalid, problem: req.problem}
	}
	if req.operation != "CREATE" || req.subResource != "" || req.labelled && !rule.IsMain(req.resource) {
		return decision{result: resultUnchanged}
	}
	if req.name == "" && req.generateName != "" && rule.IsMain(req.resource) {
		return decision{result: resultNameless}
	}
	answer := rule.Of(snapshot.Object{Resource: req.resource, Namespace: req.namespace, Name: req.name, Controller: req.controller})
	slot := ""
	switch answer.Kind {
	case snapshot.Inside:
		slot, _ = answer.Label()
	case snapshot.Outside:
		return decision{result: resultOutside}
	case snapshot.Unknown:
		return decision{result: resultUnknown}
	case snapshot.Invalid:
		return decision{result: resultInvalid, problem: answer.Problem}
	case snapshot.Grandchild:
		var ok bool
		if slot, ok = ownerOf(ctx, answer.Owner); !ok {
			return decision{result: resultUnowned}
		}
	default:
		return decision{result: resultForeign}
	}
	if req.labelled && req.label == slot {
		return decision{result: resultUnchanged}
	}
	return decision{result: resultLabelled, slot: slot}
}

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// patch returns the JSON patch that carries out the decision, or nil if there is nothing to do.
func patch(ring string, req *request, d decision) ([]byte, error) {
	if d.result != resultLabelled {
		return nil, nil
	}
	label := wire.SlotLabel(ring)
	op := operation{Op: "add", Path: "/metadata/labels/" + pointerEscaper.Replace(label), Value: d.slot}
	if !req.hasLabels {
		op = operation{Op: "add", Path: "/metadata/labels", Value: map[string]string{label: d.slot}}
	}
	return json.Marshal([]operation{op})
}

// pointerEscaper escapes a token of a JSON pointer (RFC 6901).
var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")
