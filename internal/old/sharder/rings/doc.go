// Package rings brings into effect what ClusterRings say, and tells in their status how that goes.
//
// For each ring it keeps a MutatingWebhookConfiguration, owned by the ring, so that the API server asks the sharder where
// new objects go. What is changed in it by hand is put right again, and a deleted one is made anew; Kubernetes' garbage
// collector deletes it with the ring. Rings have no finalizers: a ring can always be deleted, also when no sharder runs.
//
// A resource that the API server does not serve, or that the sharder has no permission for, does not stop the others. The
// ring's conditions say what to do about it, and the controller looks again by itself.
//
// The controller runs in the leader only.
package rings
