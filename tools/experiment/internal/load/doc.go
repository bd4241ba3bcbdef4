// Package load creates, changes and deletes Websites at given rates, and measures at the client how long it takes until each
// change is reconciled.
//
// The load is open: an operation begins when it is due, whatever became of the earlier ones, so that a slow system is not
// spared. Only the number of operations under way is bounded. An operation that could not begin within a second is missed,
// and counted: a run that misses many did not have the load that was asked for. One that begins later than it should, because
// the generator itself got no time, counts from when it was due.
//
// The API server increases the generation of a Website with its creation and with every change of its spec. What is measured
// is the time from when the request was due until a watch event shows the Website Ready with this generation observed, or a
// later one. It includes the admission of the Website, and the time until its Deployment is available. The watch is checked,
// too: how long after the time that the operator wrote into the status the event was handled.
package load
