package model

import (
	"cmp"
	"strings"
	"testing"
)

// TestRules: without any of its rules, the protocol breaks a guarantee. Run it with -v to see how.
func TestRules(t *testing.T) {
	wiped := Config{WipedTable: true, Tampers: 1}
	alone := Config{Shards: 1, WipedTable: true, Tampers: 1}
	moves := Config{Slots: 2, Exact: true, Faults: 2}
	tests := map[string]struct {
		without Rule
		cfg     Config
		breaks  Guarantee
	}{
		"H1: the table is written without compare-and-swap":                     {RuleCompareAndSwap, Config{LateWrites: 1}, G1},
		"H1: a write keeps the revision":                                        {RuleNewRevision, Config{}, G2},
		"H2: a slot moves without the word of its shard":                        {RuleAsk, Config{}, G1},
		"H2: a word about an earlier request counts":                            {RuleWordSince, Config{}, G1},
		"H2: the table does not say since when it asks":                         {RuleSinceInTable, moves, G2},
		"H2: a row is for a name, whatever the Lease":                           {RuleRowLease, Config{}, G1},
		"H3: a Lease that is free or silent counts as gone":                     {RuleGone, Config{}, G1},
		"H3: a Lease that has lost its label counts as gone":                    {RuleGoneByGet, Config{HiddenLeases: true, Tampers: 1}, G1},
		"H3: a Lease that somebody deleted counts as gone at once":              {RuleWaitForDeleted, Config{DeletedLeases: true, Tampers: 1}, G1},
		"H3: a free Lease counts as released":                                   {RuleReleased, Config{EmptiedLeases: true, Tampers: 1}, G1},
		"H3: the sharder deletes a Lease before its holder's deadline":          {RuleDeleteSilent, Config{}, G1},
		"H3: a deletion has no preconditions":                                   {RuleDeletePrecondition, Config{LateDeletes: true}, G1},
		"H3: a Lease counts as deleted before the answer":                       {RuleDeleteAnswer, Config{LateDeletes: true}, G1},
		"H3: slots of Leases that are gone stay where they are":                 {RuleForce, Config{}, G2},
		"H3: slots that nobody has are not given away":                          {RuleGive, Config{}, G2},
		"H6: a table that somebody else wrote is taken for the ring's":          {RuleFoundForeign, Config{OldTable: true, SteadyLead: true, Tampers: 1}, G1},
		"H6: a table older than what a Lease shows is taken for the ring's":     {RuleFoundShown, alone, G2},
		"H6: a lost table is written from what Leases show at that moment":      {RuleFound, wiped, G1},
		"H6: a founding does not wait for the answers":                          {RuleFoundAnswers, wiped, G1},
		"H6: the Leases that a founding waits for are from an old list":         {RuleFoundList, wiped, G1},
		"H6: a founding does not wait for the holders of deleted Leases":        {RuleFoundWait, Config{WipedTable: true, DeletedLeases: true, Tampers: 2}, G1},
		"H6: the answer leaves out what was not asked for":                      {RuleFoundAll, wiped, G1},
		"H6: a founding begins with revision 1":                                 {RuleFoundAbove | RuleFoundShown, wiped, G1},
		"1: a process takes a Lease before its holder's deadline":               {RuleTakeSilent, Config{}, G1},
		"1: the first table is read before the Lease is acquired":               {RuleConsistentGet, Config{}, G1},
		"1: a shard takes a table that is older":                                {RuleRising, Config{}, G1},
		"1: a lost Lease is acquired again by the same process":                 {RuleLostStaysLost, Config{}, G1},
		"1: a Lease with another UID is renewed":                                {RuleSameLease, Config{RestoredLeases: true, Tampers: 1}, G1},
		"1: a Lease that is older than what the process wrote last is renewed":  {RuleSameRenewal, Config{Etcd: true, Tampers: 1}, G1},
		"2: a shard works on after its deadline":                                {RuleFence, Config{}, G1},
		"2: a request may arrive after the deadline":                            {RuleTimeout, Config{Requests: true}, G1},
		"2: a shard works on what it is asked for, but does not say so":         {RuleReleasing, Config{}, G1},
		"3: the word leaves out what is busy":                                   {RuleBusy, Config{}, G1},
		"3: the word leaves out requests without an answer":                     {RuleUnanswered, Config{Requests: true}, G1},
		"3: the word is written to whatever Lease has the name":                 {RuleWordByHolder, Config{LateWords: true}, G1},
		"3: the word is not written when it gets less":                          {RuleWordLess, moves, G2},
		"3: the word is not written when a request is newer than what it shows": {RuleWordOwed, moves, G2},
		"3: the word about the first table is not written":                      {RuleFirstWord, alone, G2},
		"4: a slot comes back, and its objects are not read again":              {RuleGained, Config{Caches: true}, Fresh},
		"4: a word without an answer does not count as sent":                    {RuleGainedSent, Config{Caches: true, LateWords: true}, Fresh},
		"5: a Lease is released while work goes on":                             {RuleEndWork, Config{}, G1},
	}
	tested := redundant
	for name, test := range tests {
		tested |= test.without
		t.Run(name, func(t *testing.T) {
			cfg := test.cfg
			cfg.Shards, cfg.Slots = cmp.Or(cfg.Shards, 2), cmp.Or(cfg.Slots, 1)
			cfg.Without, cfg.Guarantees = test.without, test.breaks
			result := check(t, cfg)
			if result.Violation == nil {
				t.Fatalf("nothing breaks in %d states: is the rule superfluous, or not in the model?", result.States)
			}
			if !strings.HasPrefix(result.Violation.Guarantee, test.breaks.String()+": ") {
				t.Errorf("asked for %v, broken is %s", test.breaks, result.Violation.Guarantee)
			}
			t.Logf("found after %d states:\n%s", result.States, result.Violation)
		})
	}
	for rule := Rule(1); rule < afterLast; rule <<= 1 {
		if tested&rule == 0 {
			t.Errorf("rule %b is not tested", rule)
		}
	}
}

// redundant are rules that are not needed for a guarantee, as TestRedundant shows. H5 and H4 keep slots from shards that would
// not work on them, and a Lease that nobody could inherit from is left to its holder, who may renew it after all.
const redundant = RuleMarked | RuleKeepWithoutHeir

// TestRedundant: nothing breaks without these.
func TestRedundant(t *testing.T) {
	for name, without := range map[string]Rule{
		"H5: shards that are expired get slots":             RuleMarked,
		"H3: Leases are deleted while nobody has the slots": RuleKeepWithoutHeir,
	} {
		t.Run(name, func(t *testing.T) {
			result := check(t, Config{Shards: 2, Slots: 1, Without: without, Guarantees: G1 | G2})
			if result.Violation != nil {
				t.Errorf("the rule is needed:\n%s", result.Violation)
			}
		})
	}
}

// TestLimits: what the protocol cannot know breaks G1. The documents say so.
func TestLimits(t *testing.T) {
	for name, cfg := range map[string]Config{
		"an older table is written, and the lead changes": {OldTable: true},
		"etcd is restored while processes are at work":    {Etcd: true, EtcdAtOnce: true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Shards, cfg.Slots, cfg.Tampers, cfg.Guarantees = 2, 1, 1, G1
			result := check(t, cfg)
			if result.Violation == nil {
				t.Fatal("nothing breaks: the documents promise too little")
			}
			t.Logf("found after %d states:\n%s", result.States, result.Violation)
		})
	}
}

// check explores a configuration completely, or up to a violation.
func check(t *testing.T, cfg Config) Result {
	t.Helper()
	result, err := Check(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !result.Complete {
		t.Fatalf("not all explored: more than %d states", result.States)
	}
	return result
}
