package model

import (
	"cmp"
	"flag"
	"maps"
	"slices"
	"strings"
	"testing"
)

var hanging = flag.Int("model.hanging", 1, "how many requests hang at a time when those of shards do: 2 takes minutes, and gigabytes")

func check(t *testing.T, cfg Config) Result {
	t.Helper()
	result, err := Check(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestProtocol: all guarantees hold in all states that can be reached.
func TestProtocol(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no late requests":         {Families: 2, SlowChildren: true},
		"late requests of sharder": {Families: 1, SlowChildren: true, LateMoves: true, DeletedLeases: true, Hanging: 2},
		"late requests of both":    {Families: 1, SlowChildren: true, LateMoves: true, LateLetGo: true, DeletedLeases: true, Hanging: 2, Guarantees: G1 | G2 | G4Arrive},
	} {
		t.Run(name, func(t *testing.T) {
			result := check(t, cfg)
			t.Logf("%d states, up to %d steps deep", result.States, result.Depth)
			if result.Violation != nil {
				t.Errorf("there is a way to break a guarantee:\n%s", result.Violation)
			}
		})
	}
}

// TestRules: without any of its rules, the protocol breaks a guarantee. Run it with -v to see how.
func TestRules(t *testing.T) {
	late := Config{Families: 1, LateMoves: true}
	deleting := Config{Families: 1, DeletedLeases: true}
	tests := map[string]struct {
		without Rule
		cfg     Config // default: one family
		breaks  []Guarantee
	}{
		"a shard lets go without looking at the resourceVersion":     {without: RuleLetGoVersion, breaks: []Guarantee{G1, G4}},
		"a shard lets go of what it works on":                        {without: RuleLetGoIdle, breaks: []Guarantee{G1, G4}},
		"a shard works on after its deadline":                        {without: RuleFence, breaks: []Guarantee{G1, G4}},
		"a lost Lease is acquired again with the old caches":         {without: RuleLostStaysLost, breaks: []Guarantee{G1}},
		"a shard does not wait for the sharder":                      {without: RuleWaitForSharder, breaks: []Guarantee{G1, G4}},
		"the first list of a shard is an old one":                    {without: RuleFirstList, breaks: []Guarantee{G1}},
		"a Lease is released while work goes on":                     {without: RuleReleaseIdle, breaks: []Guarantee{G1, G4}},
		"a Lease is taken before the deadline of its holder":         {without: RuleTakeAfterDeadline, breaks: []Guarantee{G1, G4}},
		"a deleted Lease is made anew before its holder's deadline":  {without: RuleWaitForDeleted, cfg: deleting, breaks: []Guarantee{G1, G4}},
		"force is based on an old view, without a claim":             {without: RuleClaim, breaks: []Guarantee{G1, G4}},
		"a claim of a Lease that the sharder holds writes nothing":   {without: RuleClaimWrites, cfg: late, breaks: []Guarantee{G1, G4}},
		"a Lease is given back before all is moved":                  {without: RuleStopAfterRelease, breaks: []Guarantee{G1, G4}},
		"force does not look at the resourceVersion":                 {without: RuleMoveVersion, cfg: late, breaks: []Guarantee{G1, G4}},
		"a sharder that has lost the lead goes on":                   {without: RuleLeaderFence, breaks: []Guarantee{G1, G4}},
		"a child is let go of while its owner is worked on":          {without: RuleStrayOwner, breaks: []Guarantee{G4}},
		"a shard lets go of an owner before its child":               {without: RuleLetGoChildrenFirst, breaks: []Guarantee{G4Arrive}},
		"an owner is moved by force before its child":                {without: RuleMoveChildrenFirst, breaks: []Guarantee{G4Arrive}},
		"nobody lets go of a child without its owner":                {without: RuleStrays, breaks: []Guarantee{G2}},
		"nobody looks for objects without a shard":                   {without: RuleAssign, breaks: []Guarantee{G2}},
		"the sharder keeps a Lease":                                  {without: RuleGiveBack, breaks: []Guarantee{G2}},
		"nobody moves the objects of a shard that is gone":           {without: RuleEvacuate, breaks: []Guarantee{G2}},
		"assumption: a second process while a Lease is deleted":      {without: AssumeOneProcess, cfg: deleting, breaks: []Guarantee{G1, G4}},
		"assumption: somebody deletes the sharder's claim":           {without: AssumeSharderLeases, cfg: deleting, breaks: []Guarantee{G1, G4}},
		"a Lease is given back while a late move is under way":       {without: RuleOvertake, cfg: late, breaks: []Guarantee{G1, G4}},
		"a leader does not know of the claim of an earlier one":      {without: RuleResume, cfg: late, breaks: []Guarantee{G1, G4}},
		"assumption: a late request to let go of a child is in time": {cfg: Config{LateLetGo: true}, breaks: []Guarantee{G4Leave}},
		"assumption: all see the ring that there is":                 {without: AssumeOneRing, breaks: []Guarantee{G4Arrive}},
		"assumption: a shard that is asked for an owner has its child in the cache": {
			without: AssumeChildrenSeen, cfg: Config{SlowChildren: true}, breaks: []Guarantee{G4Arrive},
		},
	}
	tested := Rule(0)
	for name, test := range tests {
		tested |= test.without
		for _, guarantee := range test.breaks {
			t.Run(name+"/"+guarantee.String(), func(t *testing.T) {
				cfg := test.cfg
				cfg.Families, cfg.Without, cfg.Guarantees = 1, test.without, guarantee
				result := check(t, cfg)
				if result.Violation == nil {
					t.Fatal("nothing breaks: is the rule superfluous, or not in the model?")
				}
				if !strings.HasPrefix(result.Violation.Guarantee, guarantee.String()+": ") {
					t.Errorf("asked for %v, broken is %s", guarantee, result.Violation.Guarantee)
				}
				t.Logf("found after %d states:\n%s", result.States, result.Violation)
			})
		}
	}
	for rule := Rule(1); rule < afterLast; rule <<= 1 {
		if tested&rule == 0 {
			t.Errorf("rule %b is not tested", rule)
		}
	}
}

// TestEverything: all guarantees that can be asked for hold with two families and all faults, and the protocol does what it is
// for. A model in which nothing ever happens breaks no guarantee either. With the race detector it is some of the faults.
func TestEverything(t *testing.T) {
	if testing.Short() {
		t.Skip("there are millions of states")
	}
	faults := Config{Families: 2, SlowChildren: true, LateMoves: true, DeletedLeases: true, Hanging: 2}
	late := faults
	late.LateLetGo, late.Hanging, late.Guarantees, late.MaxStates = true, *hanging, G1|G2|G4Arrive, 20_000_000
	tests := map[string]Config{"late requests of sharder": faults, "late requests of both": late}
	if raced {
		tests = map[string]Config{"with race detector": {Families: 2, LateMoves: true, DeletedLeases: true}}
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			e, err := newExploration(cfg)
			if err != nil {
				t.Fatal(err)
			}
			result, err := e.run()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states, up to %d steps deep", result.States, result.Depth)
			if result.Violation != nil {
				t.Fatalf("there is a way to break a guarantee:\n%s", result.Violation)
			}
			for _, what := range unreached(e) {
				t.Errorf("never reached: %s", what)
			}
		})
	}
}

// unreached returns what should happen at times, and has not.
func unreached(e *exploration) []string {
	a, b := labels{shard: nameA}, labels{shard: nameB}
	drained := labels{shard: nameA, drain: true}
	works := func(s *state, n name, f int) bool { return e.worksFor(s, n, f) }
	missing := map[string]func(s *state) bool{
		"both shards work, each on its own": func(s *state) bool { return works(s, nameA, 0) && works(s, nameB, 1) },
		"a shard has everything":            func(s *state) bool { return works(s, nameA, 0) && works(s, nameA, 1) },
		"a child is ahead of its owner": func(s *state) bool {
			return s.families[1] == family{owner: drained, child: b} && s.shards[0].processes[0].owners[1] == parted
		},
		"one family has been moved by force, the other has not": func(s *state) bool {
			return s.shards[0].claimed && s.families[0] == family{owner: a, child: a} && s.families[1] == family{owner: b, child: b}
		},
		"a request of a former leader hangs while its successor is at work": func(s *state) bool {
			return s.wires[0].kind == moveWrite && s.wires[0].shard == nameA && s.shards[0].claimed
		},
		"a family is apart": func(s *state) bool { return s.families[0] == family{owner: a, child: b} && works(s, nameA, 0) },
		"a shard's Lease is deleted while it works": func(s *state) bool {
			return s.shards[0].lease == deleted && works(s, nameA, 0)
		},
	}
	if e.cfg.SlowChildren {
		missing["a shard has let go of a family of which it has not seen the child"] = func(s *state) bool {
			return s.shards[0].processes[0].owners[1] == parted && s.shards[0].processes[0].unaware[1]
		}
	}
	if e.cfg.LateLetGo {
		missing["a request to let go of a child hangs, and the shard works on its owner"] = func(s *state) bool {
			w := s.wires[0]
			return w.kind == letGoWrite && w.child && works(s, w.shard, int(w.family))
		}
	}
	for _, p := range e.states {
		s := p.unpack()
		m := s.mirrored()
		maps.DeleteFunc(missing, func(_ string, reached func(*state) bool) bool { return reached(&s) || reached(&m) })
		if len(missing) == 0 {
			break
		}
	}
	return slices.Collect(maps.Keys(missing))
}

// TestSymmetry: to exchange the names changes nothing, so that one of two states can stand for both; and states survive being
// packed.
func TestSymmetry(t *testing.T) {
	e, err := newExploration(Config{
		Families: 2, SlowChildren: true, LateMoves: true, LateLetGo: true, DeletedLeases: true, Hanging: 2,
		Guarantees: G1 | G4Arrive, MaxStates: 100_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.run(); err == nil {
		t.Fatal("there are fewer states than expected")
	}
	next := func(s state) (all []packed) {
		e.next(s, func(_ step, after state, _ bool) { all = append(all, e.canonical(after)) })
		slices.SortFunc(all, func(a, b packed) int { return cmp.Or(cmp.Compare(a.shards, b.shards), cmp.Compare(a.rest, b.rest)) })
		return all
	}
	for _, p := range e.states {
		s := p.unpack()
		if s.pack() != p || s.mirrored().mirrored() != s {
			t.Fatalf("not the same when packed or mirrored twice: %s", s.describe(2))
		}
		if !slices.Equal(next(s), next(s.mirrored())) {
			t.Fatalf("the mirror image can do something else: %s", s.describe(2))
		}
	}
}

func TestConfig(t *testing.T) {
	if _, err := Check(Config{Families: 3}); err == nil {
		t.Error("three families: no error")
	}
	if _, err := Check(Config{Families: 2, MaxStates: 100}); err == nil {
		t.Error("more than 100 states: no error")
	}
}
