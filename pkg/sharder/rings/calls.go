package rings

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// missedBirths is how many objects must have been born without their label, in a row, before that is told.
	missedBirths = 3
	// missedFor is how long it is told after the last of them.
	missedFor = 2 * time.Minute
)

// Calls notes whether admission is asked: a webhook configuration may be right, and the API server all the same not reach
// the sharder. It outlives terms, and is safe for concurrent use. The zero value is ready.
type Calls struct {
	mu    sync.Mutex
	rings map[string]*births
}

// births are those that admission missed since it was last called.
type births struct {
	// missed has up to missedBirths of them. One may come to have no label more than once.
	missed map[types.UID]bool
	last   time.Time
}

// Called says that a request about an object of the ring has arrived.
func (c *Calls) Called(ring string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.rings, ring)
}

// Missed says that an object of the ring, which admission should have labelled, was born without a label.
func (c *Calls) Missed(ring string, object types.UID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rings == nil {
		c.rings = map[string]*births{}
	}
	b := c.rings[ring]
	if b == nil {
		b = &births{missed: map[types.UID]bool{}}
		c.rings[ring] = b
	}
	if len(b.missed) < missedBirths {
		b.missed[object] = true
	}
	b.last = time.Now()
}

// silent reports whether objects were born without a label lately while no request arrived here.
func (c *Calls) silent(ring string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.rings[ring]
	return b != nil && len(b.missed) >= missedBirths && time.Since(b.last) < missedFor
}
