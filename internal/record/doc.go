// Package record keeps a log of which process worked on which object, and when, and finds out from such logs whether two
// processes ever worked on one object at the same time (guarantee G1 of the design). It is evidence for tests and
// demonstrations: a controller that is not suspected of anything needs no record.
//
// # The log
//
// One JSON object per line, one line when work on an object begins and one when it ends:
//
//	{"event":"begin","sync":7,"time":1763700000123456789,"key":"default/a","uid":"…","shard":"foo-0","holder":"foo-0_x","pid":42}
//
// Each line is one write to a file opened for appending, and the work begins when the write has returned. So lines never
// interleave, also with several processes on one file, and a process that is killed loses none. A line without its
// newline is one that is being written, or never was to its end: the work it announces has not begun, or not ended.
//
// # Clocks
//
// Times are nanoseconds of the wall clock. What is recorded on different machines can only be compared as well as their
// clocks agree. A process that is paused (SIGSTOP) in the middle of its work counts as working until it is woken up and
// notices, although it does nothing meanwhile.
package record
