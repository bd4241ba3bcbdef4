// Package why is the command that tells which shard works on an object, and what has to happen if none does.
package why

import (
	"fmt"
	"strings"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/status"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// Report tells who works on an object, in each ring that has its resource.
type Report struct {
	Object Object   `json:"object"`
	Rings  []Answer `json:"rings"`
}

// Object names an object.
type Object struct {
	// Kind has the group in it, as in Deployment.apps.
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

func (o Object) String() string {
	kind, _, _ := strings.Cut(o.Kind, ".")
	if o.Namespace != "" {
		return kind + " " + o.Namespace + "/" + o.Name
	}
	return kind + " " + o.Name
}

// Answer is what is known of the object in one ring. What is not known is empty.
type Answer struct {
	Ring string `json:"ring"`
	// Family leads from the object over its controllers to the root, both of them included.
	Family []Object `json:"family"`
	// Key is what is hashed, and Slot its slot.
	Key  string `json:"key,omitempty"`
	Slot *int   `json:"slot,omitempty"`
	// Label is the label on the object, and LabelRight reports whether it is what it should be.
	Label      *string `json:"label,omitempty"`
	LabelRight bool    `json:"labelRight"`
	// Shard is whose row of the table has the slot, as of Revision.
	Shard    string `json:"shard,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	// Lease is that of the shard.
	Lease *Lease `json:"lease,omitempty"`
	// Works reports whether the shard works on the object, as far as one can see.
	Works bool `json:"works"`
	// Unknown reports that nobody can tell, because there is no table at the moment.
	Unknown bool `json:"unknown,omitempty"`
	// Problems are why nobody does or may not, and what has to happen.
	Problems []string `json:"problems,omitempty"`

	label string // its key
}

// Lease is that of a shard.
type Lease struct {
	Namespace string      `json:"namespace"`
	Name      string      `json:"name"`
	State     rings.State `json:"state"`
	Holder    string      `json:"holder,omitempty"`
	// Renewed is for people: how long ago, by the clocks of the shard and of this machine.
	Renewed string `json:"renewed,omitempty"`
}

// problem notes why nobody works on the object.
func (a *Answer) problem(format string, args ...any) {
	a.Works = false
	a.note(format, args...)
}

// note notes something that has to happen and keeps nobody from the object for long.
func (a *Answer) note(format string, args ...any) {
	a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
}

// Text tells of all rings.
func (r Report) Text(p *text.Printer) {
	if len(r.Rings) == 0 {
		p.Line("%s belongs to no ring.", r.Object)
		p.Wrapped("", fmt.Sprintf("No ring names its resource (%s) in spec.resources. If its controller should be sharded, create a ClusterRing that does.", r.Object.Kind), text.Plain)
		return
	}
	for i, a := range r.Rings {
		if i > 0 {
			p.Line("")
		}
		a.text(p, r.Object)
	}
}

func (a Answer) text(p *text.Printer, o Object) {
	p.Line("%s in ring %s", p.Styled(text.Bold, o.String()), p.Styled(text.Bold, a.Ring))
	for i, owner := range a.Family[1:] {
		what := "controller"
		if i == len(a.Family)-2 && a.Key != "" {
			what = "root"
		}
		p.Line("  %-11s%s", what, owner)
	}
	if len(a.Family) == 1 && a.Key != "" {
		p.Line("  %-11s%s", "root", "itself")
	}
	if a.Key != "" {
		p.Line("  %-11s%s", "key", a.Key)
	}
	if a.Slot != nil {
		p.Line("  %-11s%d", "slot", *a.Slot)
	}
	a.textOfLabel(p)
	if a.Shard != "" {
		p.Line("  %-11s%s, by revision %d of the table", "shard", a.Shard, a.Revision)
	}
	if l := a.Lease; l != nil {
		line := fmt.Sprintf("%s/%s is %s", l.Namespace, l.Name, p.Styled(status.StateStyle(l.State), string(l.State)))
		if l.Holder != "" {
			line += ", held by " + l.Holder
		}
		if l.Renewed != "" {
			line += ", renewed " + l.Renewed + " ago"
		}
		p.Line("  %-11s%s", "Lease", line)
	}
	switch {
	case a.Works:
		p.Line("%s works on it.", p.Styled(text.Good, a.Shard))
	case a.Unknown:
		p.Line("%s who works on it.", p.Styled(text.Warn, "It is not known"))
	default:
		p.Line("%s works on it.", p.Styled(text.Bad, "Nobody"))
	}
	for _, problem := range a.Problems {
		p.Wrapped("- ", problem, text.Plain)
	}
}

func (a Answer) textOfLabel(p *text.Printer) {
	switch {
	case a.Label != nil && a.LabelRight:
		p.Line("  %-11s%s=%s, which is right", "label", a.label, *a.Label)
	case a.Label != nil && a.Key != "":
		p.Line("  %-11s%s=%s, %s", "label", a.label, *a.Label, p.Styled(text.Bad, "which is wrong"))
	case a.Label != nil:
		p.Line("  %-11s%s=%s", "label", a.label, *a.Label)
	case a.Key != "":
		p.Line("  %-11s%s", "label", p.Styled(text.Bad, "missing"))
	}
}
