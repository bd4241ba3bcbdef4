// Package partition names what is sharded as one unit: the partition key of an object, from which its slot is computed.
//
// A main object is a unit by itself. A controlled object has the key of its controller, so that a family stays together
// (G4 of the design). Keys never change during the life of an object: they hold neither a version nor anything that can be
// edited.
package partition
