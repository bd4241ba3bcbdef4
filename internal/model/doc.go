// Package model explores the protocol of slots exhaustively: what the processes of two or three shards and a sharder can do
// with one or two slots, in every order, with crashes, pauses, late requests, lost answers, and people who delete, restore
// and wipe. [Check] reports whether a guarantee can be broken, and shows a shortest run that does it. The tests find none for
// the protocol as it is, within what is modelled below, and one for the protocol without any one of its rules (see [Rule]).
//
//	go test -v -run TestRules ./internal/model               # what each rule is for, as a run that goes wrong without it
//	go test -v -run TestProtocol ./internal/model            # what was explored, with the numbers of states
//	go test -v -run TestDeep ./internal/model -model.deep    # more than the tests explore otherwise: minutes, and gigabytes
//
// # Guarantees
//
//   - G1: no two processes work on one slot. A process works on every slot that its table gives it, as long as it may act,
//     and until it ends its work. Its own requests count: one without an answer is under way until its timeout, also when the
//     process has ended.
//   - G2: from every state, calm steps alone (no faults, and everybody learns of everything) can lead to a good state: every
//     slot is worked on by its live owner, nothing is asked for, sent or founded, and ring.Next has nothing to change. What is
//     good stays good. So a run without more faults ends well if whatever can happen again and again happens at last.
//   - G5: ring.Next takes nothing from a live shard, and asks it for nothing, except for one that has at least two less. It
//     writes nothing that the rules forbid.
//   - Fresh: nobody works on a slot with a cache that does not show what others did to it.
//
// # What is modelled, and where it is in the code
//
//   - The Lease of each name: absent, free, held by one of two processes, or by one that has crashed; its UID, and the word
//     in it. Every write is a compare-and-swap, so it is one step. (pkg/shard/lease, pkg/sharder)
//   - The table: owner of each slot by name and UID, releasing, since, revision, founding. (pkg/ring)
//   - What a shard makes of a table, what it owns, what it says and when it has to: ring.Seat itself.
//   - What a leader with an exact view writes: ring.Next itself (G2, G5 and [Config.Exact]). Otherwise the plan is arbitrary:
//     any slot that the rules let go is given to any Lease, any slot is asked for, and any request withdrawn. So what holds
//     does so for every plan, every weight, every mark (H5), every proof (H4), and every delay.
//   - Time is the order of two events: a Lease is taken or deleted, and a deleted one counts as gone, only after the deadline
//     of its holder. That is what durations, graces and equal clock rates are for.
//   - Requests that hang and arrive later or never: writes of the table, words of shards, deletions, and mutating requests of
//     the shards' own work.
//
// # What keeps it small, and why nothing is lost
//
//   - Leaders have no memory except for what they have sent: a leader that reads, decides and writes is one step, one that
//     does so slowly is a write that hangs. So two that lead at once are one with late writes. What they saw of Leases may be
//     old: a word about a revision stays true, and a UID that is gone does not come back.
//   - A process skips tables. To act on one in between is to work on, which acting on the one before does; or to stop, which
//     is no danger.
//   - Acquiring and the first read of the table are one step, because a process does nothing in between.
//   - A write changes one slot. Several at once come to the same as several writes that nobody reads in between.
//   - Revisions are kept by their order, UIDs by which are equal; states that differ only in names are one.
//   - An expired process that loses its Lease ends: the fence, the UID and the resourceVersion let it do nothing more.
//
// # What is not modelled
//
// Objects, labels and lists; weights and preferences (pkg/ring has tests of its own); three slots or more; clocks that run at
// different rates; the inside of processes.
//
// # How far it goes
//
// TestProtocol explores completely: one slot and two shards with any number of faults and everything late, one slot and three
// shards, and two slots and two shards, with any plan and any number of faults; the same two slots by ring.Next, with G2 and
// G5. Bounded in faults are: G2 with a lost table or with Leases that people delete, hide or empty (2), three
// shards with two slots (1).
// TestDeep goes further, and not always to the end: 700,000 to 4 million states of restored Leases, of an etcd that is
// restored after all Leases have run out, of tables that are lost twice or taken for lost, and of requests with two slots.
//
// # What it found
//
// A shard has to write its word once about the first table that it sees ([RuleFirstWord]). Otherwise no Lease need show a
// revision: if all shards joined after the founding, and the status is wiped, the new founding table has the revision of the
// old one, which all shards have passed. They ignore it, it waits for their answers, and no slot moves until they restart.
//
// A slot counts as gained if any word that was sent left it out, also if that word was never answered ([RuleGainedSent]).
//
// Of the rules of docs/design.md two are not needed for a guarantee ([RuleMarked], [RuleKeepWithoutHeir]), nor is proof of life
// (H4): a plan that ignores them loses time, and a process that comes back finds its slots gone. To write the table first
// when a term begins is not needed either, and so it is not a rule.
//
// # Where the guarantees end
//
// An older table of the same ring that is written over by hand together with a change of leader, before a Lease shows a higher
// revision; and an etcd that is restored while processes are before their deadlines. TestLimits shows both.
package model
