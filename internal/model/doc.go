// Package model explores the handover exhaustively: everything that two shards, two families of objects and the replicas of
// the sharder can do, in every order, with crashes, pauses, partitions, stale caches and requests that come late. Check
// says whether a guarantee of the design can be broken, and shows the shortest run that does it. With all the faults that the
// model knows, G1 and G2 can't, and G4 only by a shard's request that comes late, see below. Without any one of the protocol's
// rules (see [Rule], which names the code that keeps it) one can; that is how the tests make sure that the model is about
// something, and the rule about anything.
//
// Replicas of the sharder are there as what they can do to others: one leads; those before it may have left up to two requests
// behind; and each decision of a replica that does not lead is made with any view of the ring that there ever was.
//
//	go test -v -run TestRules ./internal/model    # what each rule is for, as a run that goes wrong without it
//
// # What is asked for
//
//   - G1: never do two processes work on one owner. A process works on every owner that its cache has without drain label,
//     as long as it may act, that is until its deadline.
//   - G4: a child never leaves a shard of which a process works on the owner. When an owner goes from one shard to another
//     its child has gone before, if admission in all replicas agrees about the ring, and if the shard knew the child.
//   - G2: from every state that faults can lead to, calm steps alone (no more faults, and everybody learns of everything)
//     can lead to a good state: no Lease held by the sharder or by the dead, every object at its home if there is a live
//     shard, and known there. What is good stays so. So a run without more faults ends well if whatever can happen again and
//     again happens at last; it never ends anywhere else. How long that takes is not asked, and steps that the code takes only
//     with the next audit count as calm.
//
// # What is modelled, and where it is in the code
//
//   - The Lease of each shard: free, held by a process, by one that has crashed, by the sharder, deleted. Every change is a
//     compare-and-swap, so it is one step. (pkg/shard/lease, pkg/sharder/leases)
//   - Up to two processes of each name at a time: they wait, acquire, list, learn of changes one object at a time and as late
//     as can be, let go of what they are asked for, release, crash, start again. That a process is paused, or cut off, is
//     that it does not take a step while others do. (pkg/shard/lease, informers, handover)
//   - Time is only the order of two events: a Lease is taken, by the sharder or by another process, not before the deadline
//     of its holder. That is what equal clock rates and observing before taking are for. (lease.Deadline, leases.Tracker,
//     membership.StateOf)
//   - The leading sharder takes Leases, claims them, moves objects by force, gives the Leases back, loses the lead, with a
//     request of it still under way that its successor does not know of, or gives up on one that may arrive all the same.
//     (leases.Lock, assignment/evacuation*.go, hold.go, overtake.go, term.go)
//   - Scans and the watch for unassigned objects give, ask and take requests back. They and admission decide with package
//     placement itself, in every replica, with any view of the ring that there can be, as old as can be, and children
//     by any labels of the owner. Admission can miss an object. (assignment/scan.go, unassigned, admission)
//   - Every write on an object has the resourceVersion that its sender saw: it succeeds only if nothing has changed since.
//
// # What keeps it small, and why nothing is lost
//
//   - A cache skips versions: it is told of the present one, or not yet. To act on a version in between is to work on, which
//     acting on the one before does, or to stop, which is no danger; and to write with its resourceVersion fails.
//   - A write that succeeds is one step. That it takes time makes a difference only if its sender cannot wait for the
//     end: such requests hang, at most two at a time. For all others an old view does the same as a late request.
//   - Two states that differ only in the names of the shards, and of the objects along with them, are one.
//   - A process that has lost its Lease ends. What it may still have sent is the request that hangs.
//
// # What is not modelled
//
// Requests of the controllers' own work, which the fence lets pass before the deadline and which arrive after it; people who
// write the two labels by hand; objects that are deleted and made again; rings and namespaces that change; weights;
// marked shards in calm runs; two Leases of one name in two namespaces; what lies inside a process, like the workqueue,
// the Gate and the fence, which have tests of their own; that a Lease is deleted and made again while the sharder sees none
// of it. That the code does what the model says is for tests with the real code to show.
//
// # Where the guarantees end
//
// The Rules named Assume are not the protocol's to keep, and TestRules shows what happens without them. A request that hangs
// is what remains: if a shard's request to let go of a child arrives after a new process of that name has started to work on
// the owner, the child is elsewhere for a while (G4).
package model
