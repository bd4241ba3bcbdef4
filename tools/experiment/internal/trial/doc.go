// Package trial carries out one run of a scenario: it starts a control plane, sharders, operators and the load, each in
// processes of its own, does to them what the scenario says, measures, judges, and ends everything that it started,
// whatever happens.
//
// Nothing of one run is left for the next: also the control plane is a new one each time, because it starts in seconds and
// takes longer to clean. In an existing control plane, the run has a namespace of its own, which is deleted in the end
// together with everything else that was not there before.
package trial
