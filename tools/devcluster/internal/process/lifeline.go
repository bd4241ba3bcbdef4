package process

import (
	"os"
	"sync"
)

// lifelineVar tells a child the number of the descriptor that ends with its parent.
const lifelineVar = "DEVCLUSTER_LIFELINE_FD"

// pipe is the lifeline: children inherit its reading end. Its writing end is never inherited; the kernel closes it when
// this process dies. Both are kept here so that they are not closed earlier.
var pipe struct {
	once        sync.Once
	read, write *os.File
	err         error
}

func lifeline() (*os.File, error) {
	pipe.once.Do(func() { pipe.read, pipe.write, pipe.err = os.Pipe() })
	return pipe.read, pipe.err
}
