// Package samplecontroller names the API group of the sample controller.
package samplecontroller

// GroupName is the API group of Foo.
const GroupName = "samplecontroller.clusterring.dev"
