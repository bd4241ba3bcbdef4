// Package lease lets a process hold a Lease of coordination.k8s.io/v1 and act only while it does: the first of the five
// duties of a shard. It serves guarantee G1 (at most one shard works on an object at any time), and the sharder uses it for
// its own leader election.
//
// # What it guarantees
//
//   - The function given to [Lease.Run] runs only after the Lease was acquired. Its context ends before another process may
//     take the Lease for abandoned, and the Lease is released only after the function has returned.
//   - [Lease.Valid] is false, and [Lease.Fence] refuses every request that could change something, from [Lease.Deadline] on.
//     The deadline counts from the moment before the last successful renewal was sent, so it is never later than what
//     anybody else can conclude from the Lease.
//   - A Lease that was lost stays lost. See below.
//   - [Lease.Write] writes annotations to the Lease that this process holds, and to no other.
//   - While [Config.Healthy] returns an error the Lease is not renewed, and so is lost at its deadline.
//   - A request that may change something is sent with the timeout that the Lease has left.
//
// # What it does not guarantee
//
// A write that left the process before the deadline can reach the API server after it: the fence cancels requests that are
// under way when the Lease is lost, but it cannot call back bytes. The timeout that is sent with them bounds how long the API
// server works on them, not when they arrive.
//
// Whoever deletes the Lease of a live process by hand takes away what the others wait for: a second process of that name
// could start at once, while the first finds out only at its next renewal. The new Lease has another UID, so with ownership by
// slots it has nothing of the old one's.
//
// # Clocks
//
// Nothing is assumed about what clocks read, only that they run at about the same rate on all machines. A process never
// compares its own clock with a time that another process wrote. The deadline is kept on the monotonic clock and on the
// wall clock, and whichever says "over" first counts: the monotonic clock stands still while a virtual machine is
// suspended, the wall clock can be set back. A wall clock that is set forward closes the fence until the next renewal, a
// moment later, but does not end the work, since that renewal proves that nobody took the Lease.
//
// # Interleavings that must not break G1
//
// Each has a test in this package that fails without the rule.
//
//   - Taken and given back. A shard is paused. Another process takes its Lease, works, and gives the Lease back (empty
//     holder). The shard wakes up and finds a free Lease; the elector of client-go would take it and go on with its old
//     caches. Rule: once held, any other holder, another UID or absence means lost, for the rest of the process.
//   - Deleted and created again while the shard was paused: the same, told by the UID or by the holder.
//   - The slow answer. A renewal is applied at once, but its answer takes a second. Counting from the answer would put the
//     deadline a second later than others see it. Rule: count from before the request was sent.
//   - The lost answer. A renewal is applied, but its answer never comes. The next one conflicts, and the Lease that is read
//     then is our own. Rule: not lost; but only the renewal that was answered moves the deadline.
//   - Two processes with one identity (two containers of one pod, or a fixed identity in the configuration). Both would
//     renew in turn, each taking the other's Lease for its own. Rule: a renewal time that this process did not write means
//     lost.
//   - The renewal that looks like the one before. After a lost answer, the elector writes the same renewal time once more. Others
//     see no change and count from the first, this process would count from the second. Rule: each write has its own time.
//   - Two renewals within one second. The elector compares records whose times have whole seconds, misses the second renewal
//     and takes the Lease up to a second before it has run out. Rule: compare microseconds.
//   - The request that waits. A write passes the fence and then waits for a connection until the Lease has been lost. Rule:
//     requests under way are cancelled when the Lease is lost, and the fence looks again when the body is read, which
//     is the last moment before the bytes leave.
//   - The early release. The process is told to stop and releases while a worker is still busy. Rule: release after the
//     function has returned, renew until then, and close the fence before the release is sent.
package lease
