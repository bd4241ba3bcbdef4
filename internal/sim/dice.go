package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// dice gives chance that depends on nothing but the seed and on what it is for, so that processes do not disturb each
// other's.
type dice uint64

// roll returns the chance for something that is named by the parts.
func (d dice) roll(parts ...any) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintln(h, parts...)
	return rand.New(rand.NewPCG(uint64(d), h.Sum64()))
}

// between returns a duration from a to b.
func between(r *rand.Rand, a, b time.Duration) time.Duration {
	if b <= a {
		return a
	}
	return a + time.Duration(r.Int64N(int64(b-a)))
}
