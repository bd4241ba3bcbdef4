// Package fleet runs the instances of the sharder and of the operator, each as a process with a name, a network connection
// to the API server, and service account of its own.
//
// An instance stands for a pod: whatever ends its process, the fleet restarts it under its name after a moment, as a kubelet
// would, until the instance is stopped or lost. Its connection is a proxy in this process, which adds latency, counts
// bytes and can be cut. The fleet records which processes ended by themselves and which were paused when, for the verdicts.
package fleet
