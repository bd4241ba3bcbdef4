// Package cases has tests of small inputs that real installations meet, with the sharder as a process and shards of the
// library, on a real API server. It has no code of its own.
package cases
