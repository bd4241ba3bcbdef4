package leases

import (
	"context"
	"maps"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// lastsAfter is how long a Lease must have refused something until that is told, and the plan does without its slots.
const lastsAfter = 10 * time.Second

// A Trouble is that the API server does not let the sharder read, mark or delete a Lease.
type Trouble struct {
	// Err is the first error. Later ones may say the same in other words, and each would be a new message.
	Err error
	// Taking says that the Lease should be deleted, as far as is known. Else it could only not be marked.
	Taking bool
	// Lasting says that it has been so for a while.
	Lasting bool

	since time.Time
}

// note takes down what came of an attempt to do what the Lease needs, and returns the error.
func (c *Controller) note(ctx context.Context, ring, uid string, err error, taking bool) error {
	if ctx.Err() != nil || apierrors.IsConflict(err) {
		return err
	}
	now := time.Now()
	c.mu.Lock()
	before, known := c.troubles[ring][uid]
	t := before
	if !known {
		t = Trouble{Err: err, since: now}
	}
	t.Taking, t.Lasting = taking, now.Sub(t.since) >= lastsAfter
	switch {
	case err == nil:
		delete(c.troubles[ring], uid)
	case c.troubles[ring] == nil:
		c.troubles[ring] = map[string]Trouble{uid: t}
	default:
		c.troubles[ring][uid] = t
	}
	c.mu.Unlock()
	if known != (err != nil) || known && t != before {
		c.tell(ring)
	}
	return err
}

// Troubles returns those of the ring's Leases by UID.
func (c *Controller) Troubles(ring string) map[string]Trouble {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.troubles[ring])
}
