// Package source makes informers whose objects are those of a set of slots, and that gain and lose slots while they run.
// They keep their store, handlers and listers, and do not read again what they have.
//
//	ordinary cache.SharedIndexInformer      factories, listers, handlers, transform and resync are client-go's
//	  ▲ one list, then one watch that never ends
//	source, feed, state                     what was shown; decides what is news
//	  ▲ reads of slots, and one watch for all slots that are shown
//	typed, dynamic or metadata client
//
// A gain reads the gained slots alone, from the present state, shows them, and re-opens the watch at the oldest position of
// any slot. A loss happens in memory, at once. A watch that ends resumes at its position. When the API server does not
// know that position any more (410), everything is read again and compared with what is known, and only the difference
// is shown.
//
// # What it guarantees
//
//   - The store has all objects of the slots that [Informer.Synced] returns, as new as when they were set or newer. A slot
//     that was lost and set again is read again: somebody else may have worked on its objects in between. This serves G1.
//   - Within the slots, the store follows the API server as that of any informer does. An object's resourceVersion never
//     goes back, and a handler is not called for an object that did not change.
//   - Handlers are not told of a delete when an object only went elsewhere, and not of the delete of an object whose slot is
//     not wanted any more. An object that is gained again is an add.
//
// # What it does not
//
//   - A label is all that it knows of an object's slot. Objects with the label of a wrong slot are shown with that slot, see
//     Options.OnShow. When somebody changes or removes the label of an object that is not moving, the API server reports
//     the object as deleted, and so do the handlers.
//   - Resource versions that are not numbers (some aggregated APIs; objects of fake clientsets) have no order. Then
//     each gain, and each end of a watch, reads everything, and handlers see unchanged objects again.
//
// It assumes nothing of clocks.
package source
