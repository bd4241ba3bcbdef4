// Package resources finds out how the API server serves the resources that rings name: a ring says group and resource,
// a client needs the version, an owner reference needs the kind.
//
// The answer is remembered and looked at again from time to time. What the API server does not
// serve (yet) is asked for every few seconds, so that a ring recovers by itself when the missing
// CustomResourceDefinition appears. A lookup that fails, because the API server or an aggregated
// one is down, never makes a known resource unknown: only an answer without the resource does. A
// resource for which there was no answer at all is pending for some time: a replica that has just
// begun to lead must not take it for one that is not there. Every group is looked up on its own, so
// that a broken group does no harm to the others.
package resources
