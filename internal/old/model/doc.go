// Package model explores the handover exhaustively: what two shards, two families of objects, each a main object with one
// child, and a sharder can do, in every order, with crashes, pauses, partitions, stale caches and requests that come late.
// Check says whether a guarantee of the design can be broken, and shows the shortest run that does it. The tests find none
// for the protocol as it is, within what is asked for and modelled below; and one for the protocol without any one of its
// rules (see [Rule], which names the code that keeps it). That is how they make sure that the model is about something, and
// the rule about anything.
//
//	go test -v -run TestRules ./internal/model                          # what each rule is for, as a run that goes wrong without it
//	go test -v -run TestEverything ./internal/model -model.hanging=2    # more than the tests explore otherwise, see below
//
// # What is asked for
//
//   - G1: never do two processes work on one owner. A process works on every owner that its cache has without drain label,
//     as long as it may act, that is until its deadline.
//   - G4, first half (G4Leave): a child never leaves a shard of which a process works on the owner. It may if a shard's
//     request to let go of the child comes late, so this half is not asked together with LateLetGo.
//   - G4, second half (G4Arrive): when an owner comes from one shard to another in one write, its child is there, or has no
//     shard. That takes for granted what AssumeOneRing and AssumeChildrenSeen say, from the request to let go of the owner, or
//     the claim of its shard's Lease, until then. A step that breaks them excuses the family until the next request or claim.
//   - G2: from every state that faults can lead to, calm steps alone (no more faults, and everybody learns of everything)
//     can lead to a good state: no Lease held by the sharder or by the dead, every object at its home if there is a live
//     shard, and known there. What is good stays so. So a run without more faults ends well if whatever can happen again and
//     again happens at last; it never ends anywhere else. How long that takes is not asked, and steps that the code takes only
//     with the next audit, or when it looks at a Lease again, count as calm.
//
// # What is modelled, and where it is in the code
//
//   - The Lease of each shard: free, held by a process, by one that has crashed, by the sharder, deleted. Every change is a
//     compare-and-swap, so it is one step. (pkg/shard/lease, pkg/sharder/leases)
//   - Up to two processes of each name at a time: they wait, acquire, list, learn of changes one object at a time and as late
//     as can be, let go of what they are asked for, release, crash, start again. That a process is paused, or cut off, is
//     that it does not take a step while others do. (pkg/shard/lease, informers, handover)
//   - To let go of an owner is two steps: of the child that the process knows, or to see that there is none; then of the
//     owner, wherever the child is by then. (handover.HandOver)
//   - Time is only the order of two events: a Lease is taken, by the sharder or by another process, not before the deadline
//     of its holder. That is what equal clock rates and observing before taking are for. (lease.Deadline, leases.Tracker,
//     membership.StateOf)
//   - The leading sharder takes Leases, claims them, moves objects by force, gives the Leases back, loses the lead, with a
//     request of it still under way that its successor does not know of, or gives up on one that may arrive all the same. It
//     moves owners when it has seen no children; it does not see those that come later. (leases.Lock,
//     assignment/evacuation*.go, hold.go, overtake.go, term.go)
//   - Scans and the watch for unassigned objects give, ask and take requests back. They and admission decide with package
//     placement itself, with any view of the ring that there can be, as old as can be, and children by any labels of the
//     owner. Admission can miss an object. (assignment/scan.go, unassigned, admission)
//   - Every write on an object has the resourceVersion that its sender saw: it succeeds only if nothing has changed since.
//
// Replicas of the sharder are no processes here. They are what they can do to others: one leads; those before it may have left
// requests behind; and each decision of a scan or in admission is made with any view, whoever makes it.
//
// # What keeps it small, and why nothing is lost
//
//   - A cache skips versions: it is told of the present one, or not yet. To act on a version in between is to work on, which
//     acting on the one before does, or to stop, which is no danger; and to write with its resourceVersion fails.
//   - A write that succeeds is one step. That it takes time makes a difference only if its sender does not wait for the
//     end: such requests hang. For all others an old view does the same as a late request.
//   - Two states that differ only in the names of the shards, and of the objects along with them, are one; and so are two that
//     differ only in which process of a shard is called the first.
//   - A process that has lost its Lease ends. What it may still have sent is the request that hangs.
//
// # What keeps it small, and may lose something
//
//   - Two shards, two families, two processes of a name, and two requests that hang at the same time; with two families and
//     LateLetGo only one, unless -model.hanging says two. The code has 16 writers for a ring. Each request is about one object
//     or one Lease, and nothing is known that takes more; that is no proof. With the race detector, TestEverything explores
//     two families without SlowChildren and LateLetGo only, and one request.
//   - Only three kinds of request hang: to move an object by force, to give a Lease back, to let go of an object. One to
//     make a Lease does not; nor do those that only write what an old view calls for anyway.
//   - The sharder sees at one instant that no children are at a shard, and overtakes late requests in one step.
//
// # What is not modelled
//
// Objects that are created or deleted, so that children are born with a label, or come late from a shard that is dead;
// children of children; requests of the controllers' own work, which the fence lets pass before the deadline and which
// arrive after it; people who write the two labels by hand; namespaces that cease to match; rings and resources that change;
// an API server that refuses a write; weights; marked shards in calm runs; the deletion of orphaned Leases; two Leases of one
// name in two namespaces; that a Lease is deleted and made again while the sharder sees none of it; clocks that run
// differently; what lies inside a process, like the workqueue, the Gate and the fence, which have tests of their own. That
// the code does what the model says is for tests with the real code to show.
//
// # Where the guarantees end
//
// The Rules named Assume are not the protocol's to keep, and TestRules shows what happens without them. A request that hangs
// is what remains: if a shard's request to let go of a child arrives when the shard works on the owner after all, because the
// sharder took its request back, the owner came to the shard, or a new process of that name has started, the child is
// elsewhere for a while (G4Leave).
package model
