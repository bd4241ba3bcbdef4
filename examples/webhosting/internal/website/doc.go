// Package website brings the objects of every Website in line with its spec and its Theme.
//
// It writes only what differs: desired objects are compared with the informers' caches first. A Website that is created costs
// its four objects, created at the same time, and one write of its status for each phase that it goes through. A changed spec
// or Theme changes the ConfigMap and nothing else: it is mounted as a volume, which the kubelet refreshes, so no pod is
// replaced. Nothing is cleaned up by hand: objects that a Website controls are deleted by the garbage collector.
//
// All writes carry the resourceVersion of what they were decided on, and a key is left alone until the caches have caught up
// with what was last written for it. So nothing is written twice because an event was late, and nothing is ever written over
// what the controller has not seen.
//
// Sharded, a sync works only on a Website whose slot is this shard's (G1 of the design), and its objects are created with
// the label of the Website's slot (G4).
package website
