// Package slottest proves that the API server computes the slots of keys as package ring does, and the keys of objects as package
// partition does: it compiles and evaluates ring.HashExpression and partition.Expression with the compiler, the environment and the limits that admission policies get.
//
// It is a module of its own so that neither the users of the library nor the control plane depend on each other's versions.
// The same is shown with policies on a running API server, for fewer keys in internal/testenv, and for fewer objects in
// pkg/sharder/labels, where the keys are compared with what the sharder makes of the objects.
package slottest
