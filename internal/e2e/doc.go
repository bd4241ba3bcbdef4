// Package e2e has the tests of the whole: sharder and shards as processes, as they run in a cluster, on a real control
// plane, with faults that only processes have (kill -9, a process that hangs, an API server that goes away).
//
// There is a test for each way in which input can be bad or a part can fail, and each checks what the design promises of
// it: that no two shards worked on one object at the same time (G1, by the record that every shard writes of all that it
// does), that every object is with the shard that the ring says (G2), and that no request failed (G3).
//
// A shard is this test binary, started again as a small sharded controller of ConfigMaps; see controller_test.go. The
// sharder is built from tools/sharder. With -artifacts, the logs and records of the processes are kept.
package e2e
