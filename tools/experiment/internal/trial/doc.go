// Package trial carries out one run of a scenario: it starts a control plane, sharders, operators and the load, each in
// processes of its own, carries out the scenario, measures, judges, and ends everything that it started, whatever happens.
//
// One run leaves nothing for the next. Even the control plane is a new one each time, because starting it takes seconds and
// cleaning it would take longer. In an existing control plane, the run has a namespace of its own, and in the end deletes it
// together with everything else that was not there before.
package trial
