// Package ring maps keys to the members of a ring.
package ring
