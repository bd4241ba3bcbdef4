package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/rings"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// Text tells of one ring.
func (r Report) Text(p *text.Printer) {
	p.Line("Ring %s: %s", p.Styled(text.Bold, r.Ring), p.Styled(readyStyle(r.Ready), r.readiness())+age(" for ", r.Since)+"; "+r.table()+".")
	p.Line("")
	if len(r.Shards) == 0 {
		p.Line("There are no shards in the namespace %s.", r.Namespace)
	} else {
		r.shards(p)
	}
	r.moves(p)
	if len(r.Stuck) > 0 {
		p.Line("")
		p.Line("%s", p.Styled(text.Bold, "Stuck"))
		for _, s := range r.Stuck {
			head := s.Of
			if s.Reason != "" {
				head += " (" + s.Reason + ")"
			}
			p.Line("  %s%s", p.Styled(text.Warn, head), age(", for ", s.Since))
			p.Wrapped("    ", s.Message, text.Plain)
		}
	}
}

func (r Report) readiness() string {
	switch r.Ready {
	case "True":
		return "ready"
	case "False":
		return "not ready"
	}
	return "not looked at"
}

func (r Report) table() string {
	switch {
	case r.Revision == 0:
		return "it has no table"
	case r.Founding:
		return fmt.Sprintf("its table is being made (revision %d), and shards keep what they have", r.Revision)
	}
	return fmt.Sprintf("its table has revision %d", r.Revision)
}

// barWidth is the length of the bar of the shard with the most slots.
const barWidth = 24

func (r Report) shards(p *text.Printer) {
	header := []string{"SHARD", "STATE", "SINCE", "WEIGHT", "SLOTS", "SHARE", "", "ASKED FOR"}
	if r.Founding || r.Revision == 0 {
		header[4] = "HOLDS"
	}
	weights, most := false, 1
	for _, s := range r.Shards {
		weights = weights || s.Weight != 1
		most = max(most, s.Slots.Count)
	}
	var rows [][]text.Cell
	for _, s := range r.Shards {
		row := []text.Cell{
			{Text: s.Name}, {Text: string(s.State), Style: StateStyle(s.State)}, {Text: age("", s.Since)}, {},
			{Text: strconv.Itoa(s.Slots.Count)}, {Text: fmt.Sprintf("%.1f%%", 100*s.Share)}, {}, {},
		}
		if weights {
			row[3].Text = strconv.Itoa(s.Weight)
		}
		if p.Color {
			row[6] = text.Cell{Text: text.Bar(float64(s.Slots.Count)/float64(most), barWidth), Style: StateStyle(s.State)}
		}
		if s.Asked.Count > 0 {
			row[7] = text.Cell{Text: fmt.Sprintf("%d, %d not released", s.Asked.Count, s.Unreleased.Count), Style: text.Warn}
		}
		rows = append(rows, row)
	}
	p.Table(header, rows)
}

func (r Report) moves(p *text.Printer) {
	if len(r.Joining) > 0 {
		p.Line("")
		p.Wrapped("", fmt.Sprintf("Without slots: %s. A shard gets what is free once its Lease was renewed, and its share of what others have %s later (spec.rebalanceDelay).",
			strings.Join(r.Joining, ", "), r.RebalanceDelay.Duration), text.Plain)
	}
	if r.Unassigned.Count > 0 && !r.Founding && r.Revision > 0 {
		p.Line("")
		p.Wrapped("", fmt.Sprintf("%s no shard: %s.", have(r.Unassigned.Count), r.Unassigned.Ranges), text.Bad)
	}
	asked := 0
	for _, s := range r.Shards {
		asked += s.Asked.Count
	}
	if asked > 0 {
		p.Line("")
		p.Line("%d of 1024 slots move; shards may still be working on %d of them.", asked, r.Moving)
	}
}

func have(slots int) string {
	if slots == 1 {
		return "1 slot has"
	}
	return fmt.Sprintf("%d slots have", slots)
}

// List tells of all rings.
type List struct {
	Rings []Report `json:"rings"`
}

// Text writes a line for each ring, and what is stuck.
func (l List) Text(p *text.Printer) {
	if len(l.Rings) == 0 {
		p.Line("There are no rings in this cluster. Create a ClusterRing to have one.")
		return
	}
	var rows [][]text.Cell
	stuck := false
	for _, r := range l.Rings {
		ready := 0
		for _, s := range r.Shards {
			if s.State == membership.StateReady {
				ready++
			}
		}
		row := []text.Cell{
			{Text: r.Ring}, {Text: r.readiness(), Style: readyStyle(r.Ready)}, {Text: age("", r.Since)},
			{Text: fmt.Sprintf("%d/%d", ready, len(r.Shards))}, {Text: r.Namespace}, {Text: strconv.Itoa(r.Moving)},
			{Text: strconv.Itoa(r.Unassigned.Count)}, {},
		}
		if r.Founding || r.Revision == 0 {
			row[6].Text = "?" // Only the shards know.
		}
		if len(r.Stuck) > 0 {
			row[7], stuck = text.Cell{Text: reasons(r.Stuck), Style: text.Warn}, true
		}
		rows = append(rows, row)
	}
	p.Table([]string{"RING", "READY", "SINCE", "SHARDS", "NAMESPACE", "MOVING", "UNASSIGNED", "STUCK"}, rows)
	if stuck {
		p.Line("")
		p.Line("What to do about it: kubectl clusterring status RING")
	}
}

// reasons names the first problem and counts the others.
func reasons(stuck []Problem) string {
	first := stuck[0].Of
	if stuck[0].Reason != "" {
		first = stuck[0].Reason
	}
	if n := len(stuck) - 1; n > 0 {
		return fmt.Sprintf("%s and %d more", first, n)
	}
	return first
}

// age returns how long ago that was after the words, and nothing if it is not known.
func age(words string, at *metav1.Time) string {
	if at == nil || at.IsZero() {
		return ""
	}
	return words + duration.HumanDuration(max(0, time.Since(at.Time)))
}

func readyStyle(ready string) text.Style {
	if ready == "True" {
		return text.Good
	}
	return text.Bad
}

// StateStyle returns how a state looks.
func StateStyle(s rings.State) text.Style {
	switch s {
	case membership.StateReady:
		return text.Good
	case rings.Unmarked:
		return text.Dim
	case membership.StateExpired:
		return text.Warn
	}
	return text.Bad
}
