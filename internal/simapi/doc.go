// Package simapi is an API server in one process and in virtual time, for simulations. Real clients, informers, leader
// election and our own controllers talk to it through an http.RoundTripper, within a bubble of testing/synctest.
//
// # What it has of the real one
//
// One counter of versions for everything that is stored; conflicts on stale writes and on preconditions; label and field
// selectors in lists and watches, with the events that the real one makes when an object starts or stops to match; watches
// that begin with what exists and mark its end; bookmarks; a bounded history, and 410 for what is older; lists in pages; lists
// and watches that are served from a cache, which may lag behind, with several API servers that lag differently over the
// same storage; finalizers; garbage collection by owner; merge patches, JSON patches and server-side apply; the subresource
// status; generations; metadata alone (PartialObjectMetadata); dry runs; mutating webhooks as the stored
// MutatingWebhookConfigurations want them, sent through a round tripper that the simulation provides; discovery and access
// reviews as far as the sharder asks for them. The conformance test of this package runs one script of requests on this
// server and on the real one, and compares what they answer.
//
// # What it has not
//
// Everything takes no time unless the simulation makes it: delays, losses and refusals belong between client and server, in
// a round tripper around that of the server. Lag is the exception, because it is the server's own.
//
// Objects have no schema: nothing is defaulted, pruned or validated but metadata. Server-side apply takes every list as one
// value, and knows the managers of an object only once somebody has applied it; managedFields are not shown. CEL is not
// evaluated: the match conditions of webhooks count as true, so that webhooks are called more often than in reality. Bodies
// are JSON. There is no authentication, no strategic merge patch, no table, no orphaning or foreground deletion, and nothing
// follows the deletion of a namespace.
//
// # Time
//
// The server has no goroutines of its own. Timers of the garbage collector, of lag, of bookmarks and of the end of watches
// run on the clock of the bubble that the requests are made in.
package simapi
