// Package fleet runs the instances of the sharder and of the operator, each as a process with a name, a network connection
// to the API server, and service account of its own.
//
// An instance stands for a pod: whatever ends its process, it is started again under its name after a moment, as a kubelet
// would do, until the instance is stopped or lost. Its connection is a proxy in this process, which adds latency, counts
// bytes and can be cut. What ended by itself and what was paused when is kept for those who judge the run.
package fleet
