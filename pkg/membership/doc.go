// Package membership reads the shards of a ring from their Leases.
package membership
