// Package webhosting names the API group of the webhosting operator.
package webhosting

// GroupName is the API group of Website and Theme.
const GroupName = "webhosting.clusterring.dev"
