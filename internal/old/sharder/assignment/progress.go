package assignment

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/klog/v2"
)

// progressInterval is the time between two lines in the log about a pass that takes long.
const progressInterval = 3 * time.Second

// progress counts what a pass has done, and tells the log while it takes long.
type progress struct {
	looked, moved, conflicts atomic.Int64
	started                  time.Time
	stop                     func()
}

func (c *Controller) newProgress(ctx context.Context, message string) *progress {
	p := &progress{started: c.cfg.Clock.Now()}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := c.cfg.Clock.NewTicker(progressInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C():
				klog.FromContext(ctx).Info(message, "objects", p.looked.Load(), "changed", p.moved.Load(),
					"conflicts", p.conflicts.Load(), "duration", c.cfg.Clock.Since(p.started).Round(time.Millisecond))
			}
		}
	})
	p.stop = func() { cancel(); wg.Wait() }
	return p
}
