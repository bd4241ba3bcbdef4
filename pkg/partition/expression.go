package partition

import (
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// A Main is a main resource of a ring, with what it controls.
type Main struct {
	Kind       schema.GroupKind
	Namespaced bool
	// Controlled are the kinds of the resources that it controls.
	Controlled []schema.GroupKind
}

// Expression returns the CEL expression for the partition key of an object that is being created, for admission policies. It is
// empty for an object that does not belong to a family of the ring, has no name yet, or has a controller reference that
// ControllerKind refuses. It is empty for grandchildren, too: their slot is on their owner, which no policy can read.
// Whether the namespace belongs to the ring is left to the policy's namespaceSelector.
//
// Each main resource adds some 500 characters, and each resource that it controls some 50.
func Expression(by v1alpha1.PartitionBy, mains []Main) string {
	var own, controlled strings.Builder
	for _, m := range mains {
		own.WriteString(celKind + " == " + celString(m.Kind) + " ? " +
			"(" + celName + " == '' ? '' : " + m.key(by, celName) + ") : ")
		if len(m.Controlled) == 0 {
			continue
		}
		kinds := make([]string, 0, len(m.Controlled))
		for _, k := range m.Controlled {
			kinds = append(kinds, celString(k))
		}
		controlled.WriteString(celKind + " in [" + strings.Join(kinds, ", ") + "] && " +
			"c.kind == " + strconv.Quote(m.Kind.Kind) + " && c.apiVersion.matches(" + strconv.Quote(m.apiVersion()) + ") ? " +
			m.key(by, "c.name") + " : ")
	}
	return "string(" + own.String() + "(" + celController + ".map(c, c.name == '' || c.name.contains('/') ? '' : " +
		controlled.String() + "'') + [''])[0])"
}

const (
	celKind      = "(request.kind.group + '/' + request.kind.kind)"
	celName      = "object.metadata.?name.orValue('')"
	celNamespace = "object.metadata.?namespace.orValue('')"
	// celController is the list of the controller reference, or an empty one.
	celController = "object.metadata.?ownerReferences.orValue([]).filter(c, c.?controller.orValue(false))"
)

// key returns the CEL expression for the key of the main object with the name, which is another CEL expression. It is what KeyBy
// does.
func (m Main) key(by v1alpha1.PartitionBy, name string) string {
	prefix := m.Kind.Group + "/" + m.Kind.Kind + "/"
	switch {
	case !m.Namespaced:
		return strconv.Quote(prefix+"/") + " + " + name
	case by == v1alpha1.PartitionByNamespace:
		return "(" + celNamespace + " == '' ? " + strconv.Quote(prefix+"/") + " + " + name + " : " + celNamespace + ")"
	default:
		return strconv.Quote(prefix) + " + " + celNamespace + " + '/' + " + name
	}
}

// apiVersion returns the regular expression for an apiVersion of the main resource, as groupOf takes it.
func (m Main) apiVersion() string {
	if m.Kind.Group == "" {
		return "^[^/]+$"
	}
	return "^" + regexp.QuoteMeta(m.Kind.Group) + "/[^/]+$"
}

// celString returns a kind as celKind has it.
func celString(k schema.GroupKind) string { return strconv.Quote(k.Group + "/" + k.Kind) }
