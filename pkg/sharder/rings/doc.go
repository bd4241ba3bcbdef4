// Package rings makes the API server ask the sharder about new objects, and finds out what stands in the way of a ring. A
// Controller is made for one term of leadership and ends with it.
//
// For each ring it keeps a MutatingWebhookConfiguration, owned by the ring. It is for creates only: the label of an object
// never has to be written again. The controller corrects what somebody changes in it, and creates a deleted one again; if
// that goes on and on, it writes a few times a minute and says so. A ring with the admission None has no configuration, and
// Kubernetes' garbage collector deletes that of a ring that is gone. Rings have no finalizers: a ring can always be deleted,
// also when no sharder runs.
//
// A resource that the API server does not serve, or that the sharder has no rights for, does not stop the others. The
// conditions ResourcesResolved, PermissionsGranted and AdmissionConfigured say what to do about it, and the controller looks
// again by itself. The table controller writes them.
package rings
