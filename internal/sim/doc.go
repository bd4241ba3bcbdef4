// Package sim runs whole systems, shards with a controller and replicas of the sharder, against the API server of package
// simapi within a bubble of testing/synctest, has things go wrong as a seed says, and checks the guarantees of the design:
//
//   - G1: no two shards work on an object at once, none works on an object that is another's, and none that is not valid
//     sends writes;
//   - G2: when all faults have ended, every object comes to the shard that the ring gives it to, and that shard knows it;
//   - G3: the sharder writes nothing but the two labels, and no request of a user fails;
//   - G4: no child leaves a shard while that works on its owner, and in the end children are with their owners. That an
//     object leaves a child behind for a moment is counted and has to be rare: see Result;
//   - G5: without faults, a shard that joins or leaves moves about its part of the objects, and none between others.
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
// is deleted by somebody in the end. Guarantees do not cover an object whose shard label somebody has changed by hand, but it
// has to get well, too.
//
// # What is approximated
//
// A process is a set of goroutines, so a crash is modelled by cutting its connections for good before its contexts end; what
// it still does reaches nobody. A pause stops what goes between a process and the API server, but not the process' own
// clock: what a shard does that wakes up with an outdated deadline is tested with real processes. What it amounts to, work that
// does not heed the end of its context, is in the controller: now and then it sleeps on. Clocks are wrong by shifting the times that a
// process writes into Leases, and what it reads of its own; they all run at the same rate.
//
// Chance is drawn from the seed for each request of each process by itself, every request takes a time of its own, and the
// tests seed what client-go leaves to chance. So the same seed leads through the same schedule, but for what the runtime
// decides: the order of maps, of select, and of goroutines that become ready at the same instant. A seed reproduces most
// failures at once, and the others after a few runs.
package sim
