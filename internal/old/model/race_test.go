//go:build race

package model

// raced says that the race detector watches. It makes an exploration take more than ten times as long, and there is only one
// goroutine in it.
const raced = true
