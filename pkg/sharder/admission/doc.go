// Package admission gives objects the label of their slot while the API server creates them, so that they are born where
// they belong.
//
// Every replica of the sharder serves admission. An answer needs the request and the rule of the ring, and no shard, table
// or Lease: all replicas give the same one, always. There is one lookup: the label of a grandchild is that of its owner,
// which is itself a controlled object. It is read with a short timeout, by few requests at a time; whatever is not
// answered in time is left to the audit. Nothing else would find such an object soon, because nobody watches controlled
// objects that have no label: built-in controllers make them without one.
//
// Nothing here makes a create fail (G3): whatever is wrong with a request, the object is allowed as it is. The one label is
// all that is ever changed. An object that asks for a generated name has none yet, and is left to the watch of package
// labels, if it is a main object. Main objects get their label whatever they come with, for it may be copied from another
// object or restored from a backup; controlled objects keep the one that their controller gave them.
//
// # Memory
//
// A body is read as a stream, through a buffer of a few kilobytes, and nothing is kept of it but a handful of short strings:
// the size of objects does not matter, nor what is in them. Connections are limited in number. So memory is bounded by
// the number of connections, whatever anybody sends.
package admission
