// Package ring decides who has which slots. It is pure and depends on the standard library alone: no clock, no I/O, no
// state.
package ring
