// Package scenario decides what happens to the system in an experiment: how much load there is at which moment, which faults
// happen when, and how many instances there should be. It is pure: it reads no clock and starts nothing.
//
// The rates are those of the thesis whose evaluation this repeats, and which ran for 15 minutes. A load factor multiplies them.
// A shorter duration compresses time: the shorter the run, the more often Websites are mutated. So the curve of the churn and
// the load at the end stay the same, with fewer Websites.
package scenario
