// Package labels keeps the slot label of every object of a ring as it should be: a function of what the object is (G2, G4).
// Nobody's right to work depends on it (G1): a label that is wrong or gone hides an object until it is corrected.
//
// What an object's label should be is decided by snapshot.Rule, for admission as for everything here. Labels are written by merge
// patches of that one label (G3), with the UID of the object as a precondition. The resourceVersion is none: the slot of an
// object does not depend on what others write to it, and an object that changes all the time would never get its label.
//
// # What is found, and by whom
//
//   - Births that admission missed: every replica watches each main resource for objects without the label, from now on.
//     The leader acts at once, the others after a delay and only if the watch has not told by then that somebody did. The
//     watch is silent in the steady state, and nothing is stored behind it. In a ring without admission, these are all
//     births; then the leader watches controlled resources in the same way, and sees each object in them that has no label.
//   - Labels that were changed, and children that got another controller: the leader watches the metadata of what is
//     labelled, main and controlled. That costs it, and the API server, one small event for each update of such an object,
//     and no request.
//   - All else: the leader's audit streams the metadata of all objects of the ring's resources, one at a time, when its term
//     or the ring begins, when a watch may have missed something, soon after a late birth, and every few minutes. A
//     namespace whose labels change is audited by itself, at once.
//
// What existed before the watches began is labelled by the audit alone, and the audit labels controlled objects before main
// objects: no shard sees an owner without its children.
//
// # What is refused
//
// A write that is refused, or has no effect because somebody strips the label, is tried again with a
// delay that grows up to minutes; so is a write that somebody undoes again and again. An object that
// was not refused itself is tried at once, whatever happens to others. When many objects of a
// namespace are refused in a row, each waits the longer the more there are; when it is more than a
// hundred, an audit tries a few of the others only, until one that was refused is written. Each
// resource has its own queue and writers, and audits do not wait for what is tried again. So what is
// refused, for ever, holds up nothing else, and costs some requests a minute. All of it is counted in
// the condition ObjectsLabelled.
//
// An object that has the label without being part of a family of the ring keeps it: an orphan may be adopted again, and
// controllers may label by hand what cannot have a controller reference.
package labels
