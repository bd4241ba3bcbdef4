// Package record keeps a log of which process worked on which object, and when, and finds out from such logs whether two
// processes ever worked on one object at the same time (guarantee G1 of the design). It is evidence for tests and
// demonstrations; a controller in production needs no record.
//
// # The log
//
// One JSON object per line, one line when work on an object begins and one when it ends:
//
//	{"event":"begin","sync":7,"time":1763700000123456789,"key":"default/a","uid":"…","shard":"foo-0","holder":"foo-0_x","pid":42}
//
// Each line is one write to a file opened for appending, and the work begins when the write has returned. So lines never
// interleave, even if several processes write to one file, and a killed process loses none. A line without its newline is
// still being written, or was never finished: the work that it announces has not begun, or not ended.
//
// # Clocks
//
// Times are nanoseconds of the wall clock. Records of different machines are only as comparable as their clocks agree. A process
// that is paused (SIGSTOP) in the middle of its work counts as working until it is woken up and notices, although it does nothing
// until then.
package record
