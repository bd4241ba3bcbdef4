package sharder

import (
	"context"
	"errors"
	"sync"
)

// group runs functions until the context ends or one of them returns an error.
type group struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

func newGroup(ctx context.Context) *group {
	g := &group{}
	g.ctx, g.cancel = context.WithCancelCause(ctx)
	return g
}

func (g *group) run(f func(ctx context.Context) error) {
	g.wg.Go(func() {
		if err := f(g.ctx); err != nil {
			g.cancel(err)
		}
	})
}

// wait returns when all functions have, with the first error.
func (g *group) wait() error {
	g.wg.Wait()
	defer g.cancel(nil)
	if err := context.Cause(g.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// stop ends all functions.
func (g *group) stop() error {
	g.cancel(nil)
	return g.wait()
}
