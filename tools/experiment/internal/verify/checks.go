package verify

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/tools/experiment/internal/fleet"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
)

// Machine is the name of the check that the machine was fast enough for what was asked of it.
const Machine = "the machine was not the bottleneck"

// Asked is the name of the check that the load was generated as it was asked for.
const Asked = "the load was that which was asked for"

// InTime is the name of the check that the changes were ready in time, also those at the end of the load.
const InTime = "99 % of the changes were ready in time, the last ones included"

const (
	// tolerance is how much of the load may be missing, mayBeLate the share of the changes that may be late: the objective is
	// one for 99 % of them.
	tolerance = 0.02
	mayBeLate = 0.01
	// wakening is how long after a pause a process may take to notice that its work is not its own any more.
	wakening = time.Second
	// most is how many problems a check shows.
	most = 5
)

// All runs all checks.
func All(w World) []measure.Check {
	checks := []measure.Check{
		check(Asked, generated(w), loadOf(w)),
		check(Machine, bottleneck(w), w.Use.String()),
		check("no process ended by itself, and each did when it was told to", w.Problems, ""),
	}
	if !w.ToTheLimit {
		checks = append(checks, check(InTime, late(w), fmt.Sprintf("%d of %d took longer than %s", w.Load.Late, w.Load.Reconciled, load.Objective)))
	}
	checks = append(checks, Settled(w)...)
	return append(checks, oneWorker(w))
}

// Settled runs the checks that may take a while after the load to hold.
func Settled(w World) []measure.Check {
	checks := []measure.Check{
		check("no Website was lost", lost(w), fmt.Sprintf("%d Websites", len(w.State.Websites))),
		check("every Website is ready, and its last change was observed", ready(w), ""),
		check("the load has seen every change become ready", unseen(w), ""),
		check("every Website has one child of each kind", childless(w), ""),
	}
	if len(w.Live) > 0 {
		checks = append(checks,
			check("every Website is with one live shard, and its children are with it", families(w), strings.Join(w.Live, ", ")))
	}
	return checks
}

// Excused returns the names of what a machine that was too slow explains in a short run that only shows that everything works:
// that it was too slow, what was not done or ready in time for that, and objectives that were measured and broken. A machine that
// was fast enough explains nothing.
func Excused(run *measure.Run) []string {
	if !slices.ContainsFunc(run.Checks, func(c measure.Check) bool { return c.Name == Machine && !c.OK }) {
		return nil
	}
	names := []string{Machine, Asked, InTime}
	for _, v := range run.Verdicts {
		if v.Value > v.SLO { // not so if there is no data
			names = append(names, v.Name)
		}
	}
	return names
}

// check is a check with all problems that it has found, or else something to say.
func check(name string, problems []string, detail string) measure.Check {
	if len(problems) == 0 {
		return measure.Check{Name: name, OK: true, Detail: detail}
	}
	shown := problems[:min(most, len(problems))]
	text := strings.Join(shown, "; ")
	if more := len(problems) - len(shown); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return measure.Check{Name: name, Detail: text}
}

func generated(w World) []string {
	var problems []string
	for _, controller := range slices.Sorted(maps.Keys(w.Load.Operations)) {
		c := w.Load.Operations[controller]
		asked := max(w.Asked[controller], float64(c.Asked()))
		// One is always on its way.
		if lacking := asked - float64(c.Success); lacking > tolerance*asked+1 {
			problems = append(problems, fmt.Sprintf("%s: %.0f operations were asked for, %d done, %d refused, %d could not begin in time",
				controller, asked, c.Success, c.Error, c.Missed))
		}
	}
	if len(w.Load.Operations) == 0 {
		problems = append(problems, "there was no load")
	}
	if len(problems) > 0 {
		problems = append(problems, w.Load.Errors...)
	}
	return problems
}

func loadOf(w World) string {
	var parts []string
	for _, controller := range slices.Sorted(maps.Keys(w.Load.Operations)) {
		if c := w.Load.Operations[controller]; c.Asked() > 0 {
			parts = append(parts, fmt.Sprintf("%s %d of %d", controller, c.Success, c.Asked()))
		}
	}
	return strings.Join(parts, ", ")
}

func bottleneck(w World) []string {
	if w.Use.Bottleneck() {
		return []string{w.Use.String() + ": the figures say more about the machine than about what ran on it"}
	}
	return nil
}

// late finds out whether too many changes took too long. What is measured until the end of the load knows nothing of those
// that were ready only later.
func late(w World) []string {
	n, all := w.Load.Late+w.Load.Unfinished, w.Load.Reconciled+w.Load.Unfinished
	if float64(n) <= mayBeLate*float64(all) {
		return nil
	}
	return []string{fmt.Sprintf("%d of %d took longer than %s, %d of them were never ready", n, all, load.Objective, w.Load.Unfinished)}
}

func lost(w World) []string {
	if n := len(w.State.Websites); n != w.Expected {
		return []string{fmt.Sprintf("there are %d Websites and should be %d", n, w.Expected)}
	}
	return nil
}

func ready(w World) (problems []string) {
	for _, site := range w.State.Websites {
		if site.Phase != v1alpha1.PhaseReady || site.Observed != site.Generation {
			problems = append(problems, fmt.Sprintf("%s is %q in generation %d, its status speaks of %d", site.Name, site.Phase, site.Generation, site.Observed))
		}
	}
	return problems
}

func unseen(w World) []string {
	if n := w.Load.Unfinished; n > 0 {
		return []string{fmt.Sprintf("%d not, the first one is of %s", n, w.Load.Oldest)}
	}
	return nil
}

func childless(w World) (problems []string) {
	children := map[types.UID]map[string]int{}
	for _, child := range w.State.Children {
		if children[child.Controller] == nil {
			children[child.Controller] = map[string]int{}
		}
		children[child.Controller][child.Kind]++
	}
	for _, site := range w.State.Websites {
		for _, kind := range slices.Sorted(maps.Keys(childResources)) {
			if n := children[site.UID][kind]; n != 1 {
				problems = append(problems, fmt.Sprintf("%s has %d %ss", site.Name, n, kind))
			}
		}
	}
	return problems
}

func families(w World) (problems []string) {
	slots := map[types.UID]string{}
	for _, site := range w.State.Websites {
		slot, shard := w.shardOf(site)
		slots[site.UID] = strconv.Itoa(slot)
		switch {
		case !slices.Contains(w.Live, shard):
			problems = append(problems, fmt.Sprintf("%s is with %q, which does not live", site.Name, shard))
		case w.State.Asked.Has(slot):
			problems = append(problems, fmt.Sprintf("%s is to be given up by %s", site.Name, shard))
		case site.Slot != strconv.Itoa(slot):
			problems = append(problems, fmt.Sprintf("%s is in slot %d, and has %s", site.Name, slot, site.where()))
		}
	}
	for _, child := range w.State.Children {
		// Others are of a Website that was deleted: the garbage collector's, or nobody's.
		if of, ok := slots[child.Controller]; ok && child.Slot != of {
			problems = append(problems, fmt.Sprintf("%s %s has %s, its Website is in slot %s", child.Kind, child.Name, child.where(), of))
		}
	}
	return problems
}

// oneWorker finds work of two processes on one Website at the same time. That every Website has a record is checked, too:
// instances that record nothing would do nothing wrong.
func oneWorker(w World) measure.Check {
	worked, died := map[types.UID]bool{}, map[record.Worker]time.Time{}
	var awake []record.Interval
	paused := 0
	for _, i := range w.Work {
		worked[i.UID] = true
		if at, ok := w.Deaths[i.Worker.PID]; ok {
			died[i.Worker] = at
		}
		pieces, cut := without(i, w.Pauses[i.Worker.PID], died[i.Worker])
		awake = append(awake, pieces...)
		if cut {
			paused++
		}
	}
	var problems []string
	for _, o := range record.Overlaps(awake, died) {
		problems = append(problems, o.String())
	}
	for _, site := range w.State.Websites {
		if !worked[site.UID] {
			problems = append(problems, fmt.Sprintf("nobody recorded any work on %s", site.Name))
		}
	}
	detail := fmt.Sprintf("%d recorded pieces of work by %d processes", len(w.Work), workers(w.Work))
	if paused > 0 {
		detail += fmt.Sprintf("; in the midst of %d of them the process was paused: that time does not count, and %s after it", paused, wakening)
	}
	return check("no two instances worked on one Website at the same time", problems, detail)
}

// without returns the pieces of work that are left without the pauses of its process, and tells whether there was one. In a
// pause nothing is done, and just after it nothing that counts: what a process writes that was thought to be dead is refused,
// and it ends its work as soon as it notices. died is when the process ended, zero if it runs.
func without(i record.Interval, pauses []fleet.Pause, died time.Time) (pieces []record.Interval, cut bool) {
	for _, p := range pauses {
		if i.Begin.After(p.From) || (!i.End.IsZero() && !i.End.After(p.From)) {
			continue
		}
		cut = true
		before := i
		before.End = p.From
		pieces = append(pieces, before)
		i.Begin = p.To.Add(wakening)
		over := func(at time.Time) bool { return !at.IsZero() && !at.After(i.Begin) }
		if p.To.IsZero() || over(i.End) || over(died) {
			return pieces, true
		}
	}
	return append(pieces, i), cut
}

func workers(intervals []record.Interval) int {
	all := map[record.Worker]bool{}
	for _, i := range intervals {
		all[i.Worker] = true
	}
	return len(all)
}
