// Package slottest shows that the API server can compute the slots of keys as package ring does: it compiles and evaluates a
// CEL expression with the compiler, the environment and the limits that admission policies get. Nothing uses the expression
// yet. The test makes sure that a policy can still compute the hash.
//
// It is a module of its own so that neither the users of the library nor the control plane depend on each other's versions.
package slottest
