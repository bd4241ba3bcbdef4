// Package anylanguage contains the tests of shard.sh, and no code.
package anylanguage
