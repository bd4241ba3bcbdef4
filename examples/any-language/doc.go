// Package anylanguage has the tests of shard.sh, and no code.
package anylanguage
