// Package load creates, changes and deletes Websites at given rates, and measures at the client how long it takes until each
// change is reconciled.
//
// The load is open: an operation begins when it is due, whatever became of the earlier ones, so a slow system gets no
// less load. Only the number of operations under way is bounded. An operation that could not begin within a second is missed,
// and counted: a run that misses many did not have the load that was asked for. An operation that begins late because the
// generator itself got no time counts from when it was due.
//
// The API server increases the generation of a Website with its creation and with every change of its spec. The package
// measures the time from when the request was due until a watch event shows the Website Ready with this generation observed,
// or a later one. That includes the admission of the Website, and the time until its Deployment is available. The package also
// checks the watch: how long after the time in the status, which the operator wrote, the event was handled.
package load
