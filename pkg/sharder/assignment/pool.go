package assignment

import (
	"context"
	"sync"
)

// backlog is how many objects may wait for a writer. It bounds the memory of a pass, and lets a stream of objects go on while
// the writers are busy.
const backlog = 2048

// pool runs tasks, a bounded number at once.
type pool struct {
	tasks chan func(context.Context)
	wg    sync.WaitGroup
}

func newPool(ctx context.Context, workers int) *pool {
	p := &pool{tasks: make(chan func(context.Context), backlog)}
	for range workers {
		p.wg.Go(func() {
			for task := range p.tasks {
				if ctx.Err() == nil {
					task(ctx)
				}
			}
		})
	}
	return p
}

// submit has the task run soon. It waits while the backlog is full.
func (p *pool) submit(ctx context.Context, task func(context.Context)) error {
	select {
	case p.tasks <- task:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait returns when all tasks have ended. Nothing may be submitted afterwards.
func (p *pool) wait() {
	close(p.tasks)
	p.wg.Wait()
}
