// Package sim runs whole systems, shards with a controller and replicas of the sharder, against the API server of package
// simapi within a bubble of testing/synctest, has things go wrong as a seed says, and checks the guarantees of the design:
//
//   - G1: no two shards work on an object at once, none works on an object whose slot another Lease has by the table, no write
//     of one arrives while another works on that object or its family, none that is not valid sends writes, and no Lease is
//     taken or deleted by the sharder while its holder may act;
//   - G2: when all faults have ended, every shard has its part of the slots, every object has the label of its slot, and the
//     shard knows it, and has done what is asked of it, with its child;
//   - G3: the sharder writes nothing but the slot label, and no request of a user fails;
//   - G4: in the end children have the slot of their owners;
//   - G5: without faults, a shard that joins or leaves moves exactly its part of the slots, none between others, and no object
//     is written for it;
//   - G6: without faults, a sharder holds in the end about as much memory for ten times as many objects.
//
// Users strip, rewrite, replace and restore labels, objects and Leases, invent Leases, wipe the ring's status, and delete the
// ring and make it again, at any moment. No checker excuses anything because of that.
//
// The shards are pkg/shard with its lease, fence and informers; the replicas are pkg/sharder as a whole, but for the TLS
// server: requests for admission go straight to its handler. Their clients are those of client-go.
//
// # What a run consists of
//
// A Plan is data: how many shards, replicas and objects there are, and a list of Actions with the time of each. NewPlan makes
// one from a seed, and Run carries it out. A plan that fails can be shortened by leaving out actions (Simplify), and is then
// short enough to be read.
//
// # What waits for an audit
//
// A label that is wrong although it is there, of a main object or a child, and the missing label of a child, may wait for the
// next audit: the leader's watch of labels sees most of them at once, but not what happens while it is broken. G2 is asked for
// after that time.
//
// # Late requests
//
// A write of which its sender hears nothing, because it gave up, or was cut off, or crashed, may arrive up to four times a Lease's
// duration later, when the process is gone, and another of its name runs. When faults end, what is left arrives within a second. Users' own
// requests are never late. A write with a timeout, as all of the shards to objects have, does not arrive after that: the API server
// would not carry it out.
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
