package sharder

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
)

const (
	contactInterval = 2 * time.Second
	contactTimeout  = 2 * time.Second
	// contactFailures is after how many failures in a row the replica is not ready.
	contactFailures = 3
)

// contact asks the API server now and then whether it is there. Without it, a replica that the API server reaches but that does
// not reach the API server would go on to look ready, with what it knew of the rings long ago.
type contact struct {
	client   rest.Interface
	lost     func() // called whenever there is no answer
	failures atomic.Int32
}

func (c *contact) try(ctx context.Context) {
	request, cancel := context.WithTimeout(ctx, contactTimeout)
	defer cancel()
	err := c.client.Get().AbsPath("/version").Do(request).Error()
	logger := klog.FromContext(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		c.lost()
		if n := c.failures.Add(1); n == contactFailures {
			logger.Info("The API server does not answer: not ready until it does", "err", err)
		}
	case c.failures.Swap(0) >= contactFailures:
		logger.Info("The API server answers again")
	}
}

// ok returns why the replica can't know about the rings.
func (c *contact) ok() error {
	if n := c.failures.Load(); n >= contactFailures {
		return fmt.Errorf("the API server has not answered %d times in a row", n)
	}
	return nil
}
