package admission

import (
	"encoding/json"
	"strings"

	utilrand "k8s.io/apimachinery/pkg/util/rand"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch returns the JSON patch that carries out the decision, or nil if there is nothing to do.
func patch(ring string, object *metadata, d decision) ([]byte, error) {
	if d.shard == "" {
		return nil, nil
	}
	var ops []operation
	shardLabel, drainLabel := v1alpha1.ShardLabel(ring), v1alpha1.DrainLabel(ring)
	if len(object.Labels) == 0 {
		ops = append(ops, operation{Op: "add", Path: "/metadata/labels", Value: map[string]string{shardLabel: d.shard}})
	} else {
		ops = append(ops, operation{Op: "add", Path: labelPath(shardLabel), Value: d.shard})
	}
	if _, ok := object.Labels[drainLabel]; ok {
		// Nobody has the object, so nobody is to let go of it.
		ops = append(ops, operation{Op: "remove", Path: labelPath(drainLabel)})
	}
	if d.name != "" {
		ops = append(ops, operation{Op: "add", Path: "/metadata/name", Value: d.name})
	}
	return json.Marshal(ops)
}

// labelPath returns the JSON pointer (RFC 6901) to a label.
func labelPath(label string) string {
	return "/metadata/labels/" + pointerEscaper.Replace(label)
}

var pointerEscaper = strings.NewReplacer("~", "~0", "/", "~1")

const (
	maxGeneratedLength = 63
	shortSuffix        = 5
	longSuffix         = 8
	longSuffixBase     = 40
)

// generateName makes a name of a metadata.generateName. It does what the API server does when it finds no name (package
// names of k8s.io/apiserver), with one difference: where the API server tries another name when one is taken, a name from
// here is final. Three more random characters make that as unlikely as eight attempts do. A long base gets no more
// than the API server would append, because some kinds allow less than 63 characters.
func generateName(base string) string {
	suffix := shortSuffix
	if len(base) <= longSuffixBase {
		suffix = longSuffix
	}
	return base[:min(len(base), maxGeneratedLength-suffix)] + utilrand.String(suffix)
}
