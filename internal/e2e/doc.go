// Package e2e has the tests of the whole: sharder and shards as processes, as they run in a cluster, on a real control
// plane, with faults that only processes have (kill -9, a process that hangs, an API server that goes away).
//
// There is a test for each way in which input can be bad or a part can fail, and each checks what the design promises of
// it: that no two shards worked on one object at the same time (G1, by the record that every shard writes of all that it
// does), that every object is with the shard that the ring says (G2), and that no request failed (G3).
//
// The tests of the fault_ files have one shape: a system of two replicas of the sharder and three shards, under churn, to which
// something bad happens, and which must be well again within seconds, without a promise broken meanwhile (runFault). What
// they judge by:
//
//   - G1: the records do not overlap. Work of a process that is stopped (SIGSTOP) counts until the stop: it goes on when the
//     process wakes up, to find that it may not write. So that it does not write is seen on the objects instead: each
//     write of a shard leaves its name, and objects and tables are in one storage, so their versions tell whether another
//     shard had the slot by then. Shards that are stopped write without a resource version, so that nothing but the fence
//     keeps them from it.
//   - G2: new objects get the label of their slot, are worked on, and every slot has a shard.
//   - G3: no request of a client fails, unless the API server or etcd is the fault; then none fails because of a webhook.
//   - G4: at the end each child is in the slot of its owner.
//
// A shard is this test binary, started again as a small sharded controller of ConfigMaps; see controller_test.go. The
// sharder is built from tools/sharder. With -artifacts, the logs and records of the processes are kept.
package e2e
