// Package table decides who has which slots, and writes it into the status of the rings, together with their conditions. A
// Controller is made for one term of leadership and ends with it.
//
// For each ring it puts together what is known of the Leases, asks ring.Next for the next table, and writes table and
// conditions with one PUT, with the resourceVersion of the object that the table was computed from (H1 of the design). After
// a write that failed or got no answer it reads the ring live before it goes on. A table that this leader neither found
// when its term began nor wrote itself is lost (H6), and that is read live, too, before it counts.
//
// # Founding
//
// ring.Next leaves a founding table as it is until the View is Settled: the Leases of the namespace were listed from the
// present state after the founding table was read or written, and no process can be at work whose Lease is not among them.
// That is so once this process has watched the Leases without a gap, and has seen nobody else delete one that was held, for
// the longest duration and the grace (leases.Tracker.Wait). So a leader that has watched for long has nothing to wait for, but its watch
// can be behind the list: it asks about deletions only after an event that is later than the list. Without one, it waits for as
// long as after a deletion at the time of the list.
//
// # What it assumes of clocks
//
// Only that they run at about the same rate. All times are those of this process.
package table
