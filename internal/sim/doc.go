// Package sim runs whole systems, shards with a controller and replicas of the sharder, against the API server of package
// simapi within a bubble of testing/synctest, has things go wrong as a seed says, and checks the guarantees of the design:
//
//   - G1: no two shards work on an object at once, none works on an object that is another's, and none that is not valid
//     sends writes;
//   - G2: when all faults have ended, every object comes to the shard that the ring gives it to, and that shard knows it,
//     and has done what is asked of it, with its child, unless that was deleted where nobody could hear of it;
//   - G3: the sharder writes nothing but the two labels, and no request of a user fails;
//   - G4: no child leaves a shard while that works on its owner, and in the end children are with their owners. That an
//     object leaves a child behind for a moment is counted and has to be rare: see Result;
//   - G5: without faults, a shard that joins or leaves moves about its part of the objects, and none between others;
//   - G6: without faults, a sharder holds in the end about as much memory for ten times as many objects. What it holds in between
//     is tested in pkg/sharder/stream.
//
// The shards are pkg/shard with its lease, fence, informers and handover; the replicas are pkg/sharder as a whole, but for
// the TLS server: requests for admission go straight to its handler. Their clients are those of client-go.
//
// # What a run consists of
//
// A Plan is data: how many shards, replicas and objects there are, and a list of Actions with the time of each. NewPlan makes
// one from a seed, and Run carries it out. A plan that fails can be shortened by leaving out actions (Simplify), and is then
// short enough to be read.
//
// # What is assumed
//
// Nobody deletes or relabels a Lease while the sharder holds it, and a Lease of a shard that is gone for good keeps the label of its ring, or
// is deleted by somebody in the end. When somebody has changed the labels of an object by hand, guarantees do not cover processes that
// have not heard of that; and it may take an audit to put it right.
//
// # Late requests
//
// A write of which its sender hears nothing, because it gave up, or was cut off, or crashed, may arrive up to four times a Lease's
// duration later, when the process is gone, and another of its name runs. When faults end, what is left arrives within a second. Users' own
// requests are never late.
//
// Almost all writes have a resourceVersion, and do nothing when anything has changed since: all to Leases, all of the sharder and the shards to labels,
// and the controller's updates. What they may do all the same is excused exactly as docs/reliability.md describes it: a child that a
// shard lets go of late, and moves that the sharder could not overtake. See wire. The others are these:
//
//   - Leases that are created late. Nobody renews them, and they are taken or given back like others.
//   - Secrets that the controller creates late, with the label of a shard that has lost the owner, or without one. Nobody works on a child
//     alone, so all that is wrong is where it is, until the next audit. The controller can't make them conditional; the design says so
//     of all that is on the wire when a Lease runs out ("What G1 leaves to the controller").
//   - The webhook configuration, which is applied. The leader sees that, and applies it again. Events, which nobody reads.
//
// # What is approximated
//
// A process is a set of goroutines, so a crash is modelled by cutting its connections for good before its contexts end; what
// it still does reaches nobody. What was under way may arrive.
//
// A pause can't stop goroutines. Instead, nothing gets out of a process or into it, its clock stands still, and it hears of
// nothing that has ended meanwhile, timeouts of requests included: what it does on its own, it might have done just before. When it
// goes on, its clock jumps, and its workers get their turns in any order: with a deadline that is long over, before anything has told
// them, some before they ask the fence, and some after. Of a shard, that clock is the one of its Lease, from which
// Valid, Deadline and the fence follow. Timers of client-go, and the Lease of a paused sharder, go on with the time of the others; that
// makes a process notice too early that it has lost its Lease, never too late. Real processes are stopped in
// internal/e2e.
//
// Clocks are wrong by shifting the times that a process writes into Leases, and what it reads of its own. The clocks of shards
// run at rates of their own, by which the deadline and all times of the elector are stretched: by up to a hundredth in most plans,
// by up to a fifth in those about clocks. Those of the sharder all run at one rate, which only makes it the measure.
//
// Chance is drawn from the seed for each request of each process by itself, every request takes a time of its own, and the
// tests seed what client-go leaves to chance. So the same seed leads through the same schedule, but for what the runtime
// decides: the order of maps, of select, and of goroutines that become ready at the same instant. A seed reproduces most
// failures at once, and the others after a few runs.
package sim
