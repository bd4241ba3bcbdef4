// Package website brings the objects of every Website in line with its spec and its Theme.
//
// It compares desired objects with the informers' caches and writes only what differs. A new Website costs its four objects,
// created at the same time, and one write of its status for each phase that it goes through. A changed spec or Theme changes
// only the ConfigMap. The ConfigMap is mounted as a volume that the kubelet refreshes, so no pod is replaced. The garbage
// collector deletes the objects that a Website controls.
//
// Each write carries the resourceVersion that the decision was based on, and the controller leaves a key alone until the
// caches show what it last wrote for that key. So a late event never causes a second write, and the controller never
// overwrites what it has not seen.
//
// In a ring, a sync works only on a Website whose slot is this shard's (G1 of the design), and its objects are created with
// the label of the Website's slot (G4).
package website
