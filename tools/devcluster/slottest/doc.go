// Package slottest shows that the API server can compute the slots of keys as package ring does: it compiles and evaluates a
// CEL expression with the compiler, the environment and the limits that admission policies get. Nothing uses the expression
// yet. It keeps the hash one that a policy can come to.
//
// It is a module of its own so that neither the users of the library nor the control plane depend on each other's versions.
package slottest
