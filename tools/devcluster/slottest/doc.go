// Package slottest proves that the API server computes the slots of keys as package ring does: it compiles and evaluates
// ring.HashExpression with the compiler, the environment and the limits that admission policies get.
//
// It is a module of its own so that neither the users of the library nor the control plane depend on each other's versions.
// The same is shown with a policy on a running API server in internal/testenv, for fewer keys.
package slottest
