// Package scenario says what is done to the system in an experiment: how much load there is at which moment, which faults
// happen when, how many instances there should be. It decides purely: no clock is read and nothing is started here.
//
// The rates are those of the thesis whose evaluation is repeated, which ran for 15 minutes. A load factor multiplies them.
// A shorter duration compresses time: Websites are mutated as much more often as the run is shorter, so that the curve of
// the churn stays the same, and with it the load that is reached in the end, while there are fewer Websites.
package scenario
