// Package plan is the command that tells what would move if shards came, left or had other weights. It asks the pure function by
// which the sharder decides.
package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// Report tells what would move.
type Report struct {
	Ring   string  `json:"ring"`
	Shards []Shard `json:"shards"`
	// Moving is how many slots change their shard because of the change, and Share their part of all, from 0 to 1.
	Moving int     `json:"moving"`
	Share  float64 `json:"share"`
	Moves  []Move  `json:"moves"`
	// Already is how many slots move without the change, because it is not long ago that something else changed.
	Already int `json:"already,omitempty"`
	// Expired are shards that do not renew their Leases. Nothing is asked of them, as long as they are there.
	Expired []string `json:"expired,omitempty"`
	// Nobody reports whether no shard would be left: slots stay where they are, and nobody works on them.
	Nobody bool `json:"nobody,omitempty"`
}

// Shard is what a shard has, and what it would have.
type Shard struct {
	Name string `json:"name"`
	// Change is added, removed or reweighted, or empty.
	Change string `json:"change,omitempty"`
	Weight int    `json:"weight"`
	Now    int    `json:"now"`
	After  int    `json:"after"`
	Gives  int    `json:"gives"`
	Gets   int    `json:"gets"`
	// Slots are those that it would have.
	Slots string `json:"slots,omitempty"`

	uid  string
	gone bool // its Lease is
}

// Move is that slots go from one shard to another. Slots without a shard come from an empty name.
type Move struct {
	From  string `json:"from"`
	To    string `json:"to"`
	Count int    `json:"count"`
	Slots string `json:"slots"`
}

// compare fills in what differs between the table that there will be anyway and the one after the change.
func (r *Report) compare(now, base, after ring.Table) {
	owners := func(t ring.Table) (by [ring.Count]string) {
		for _, row := range t.Rows {
			for slot := range row.Slots.All() {
				by[slot] = row.Lease
			}
		}
		return by
	}
	at := map[string]*Shard{"": {}}
	for i := range r.Shards {
		at[r.Shards[i].uid] = &r.Shards[i]
	}
	nows, bases, afters := owners(now), owners(base), owners(after)
	type pair struct{ from, to string }
	moves := map[pair]ring.Slots{}
	for slot := range ring.Count {
		at[nows[slot]].Now++
		at[afters[slot]].After++
		if nows[slot] != bases[slot] {
			r.Already++
		}
		if p := (pair{bases[slot], afters[slot]}); p.from != p.to {
			r.Moving++
			at[p.from].Gives++
			at[p.to].Gets++
			moves[p] = moves[p].With(slot)
		}
	}
	for _, from := range append([]Shard{{}}, r.Shards...) {
		for _, to := range r.Shards {
			if slots := moves[pair{from.uid, to.uid}]; !slots.Empty() {
				r.Moves = append(r.Moves, Move{from.Name, to.Name, slots.Len(), slots.String()})
			}
		}
	}
	for _, row := range after.Rows {
		at[row.Lease].Slots = row.Slots.String()
	}
	r.Share = float64(r.Moving) / ring.Count
}

// Text shows what would move.
func (r Report) Text(p *text.Printer) {
	weights := slices.ContainsFunc(r.Shards, func(s Shard) bool { return s.Weight != 1 })
	most := 1
	for _, s := range r.Shards {
		most = max(most, s.Now, s.After)
	}
	var rows [][]text.Cell
	for _, s := range r.Shards {
		row := []text.Cell{
			{Text: s.Name}, {Text: s.Change, Style: style(s.Change)}, {}, {Text: strconv.Itoa(s.Now)}, {Text: strconv.Itoa(s.After)},
			{Text: fmt.Sprintf("%.1f%%", 100*float64(s.After)/ring.Count)}, {}, {}, {},
		}
		if weights {
			row[2].Text = strconv.Itoa(s.Weight)
		}
		if p.Color {
			row[6] = text.Cell{Text: text.Bar(float64(s.After)/float64(most), 24), Style: text.Good}
		}
		if s.Gives > 0 {
			row[7] = text.Cell{Text: strconv.Itoa(s.Gives), Style: text.Warn}
		}
		if s.Gets > 0 {
			row[8] = text.Cell{Text: strconv.Itoa(s.Gets), Style: text.Good}
		}
		rows = append(rows, row)
	}
	p.Table([]string{"SHARD", "CHANGE", "WEIGHT", "NOW", "AFTER", "SHARE", "", "GIVES", "GETS"}, rows)
	p.Line("")
	for _, m := range r.Moves {
		p.Line("%4d slots from %s to %s", m.Count, cmp.Or(m.From, "nobody"), m.To)
	}
	if len(r.Moves) > 0 {
		p.Line("")
	}
	switch {
	case r.Nobody:
		p.Wrapped("", "No shard that is ready would be left. The slots stay where they are, and nobody works on their objects until a shard starts.", text.Bad)
	case r.Moving == 0:
		p.Line("No slot would move.")
	default:
		p.Wrapped("", fmt.Sprintf("%d of %d slots would move, and with them about %.1f%% of the objects. No object is written for that.", r.Moving, ring.Count, 100*r.Share), text.Plain)
	}
	if r.Already > 0 {
		p.Wrapped("", fmt.Sprintf("Besides, %d slots move without it, because of what is under way.", r.Already), text.Plain)
	}
	if len(r.Expired) > 0 {
		p.Wrapped("", fmt.Sprintf("Nothing is asked of %s as long as it does not renew its Lease. If it is gone for good, plan with --remove.", strings.Join(r.Expired, ", ")), text.Warn)
	}
	p.Line("Nothing was changed: this is what the sharder would do.")
}

func style(change string) text.Style {
	switch change {
	case "added":
		return text.Good
	case "removed":
		return text.Bad
	}
	return text.Warn
}
