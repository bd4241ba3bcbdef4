package sim

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// restartDelay is how long a process takes to come back by itself.
const restartDelay = 2 * time.Second

// instance is one process, from its start to its end.
type instance struct {
	name    string
	number  int
	link    *link
	cancel  context.CancelFunc
	crashed atomic.Bool
	hung    atomic.Bool // the workers of a shard do nothing any more
	ended   chan struct{}
}

func (i *instance) id() string { return fmt.Sprintf("%s_%d", i.name, i.number) }

// newInstance returns a process that has not begun. ctx ends when it is to end.
func (w *World) newInstance(name string, number int, c Conditions) (*instance, context.Context) {
	i := &instance{name: name, number: number, ended: make(chan struct{})}
	i.link = newLink(i.id(), w.dice, w.wire, w.endpoints...)
	i.link.home, i.link.spread = w.dice.roll("server of", i.id()).IntN(w.plan.Servers), w.plan.Spread
	i.link.set(c)
	i.link.refused = func(ctx context.Context, req *http.Request) (*http.Response, error) {
		return w.refusals.answer(ctx, name, req, w.dice)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	i.cancel = cancel
	return i, ctx
}

// keeper keeps one process running, as a Deployment does: when it ends, it is started again.
type keeper struct {
	world *World
	name  string
	start func(name string, number int, c Conditions) (*instance, error)

	mu         sync.Mutex
	current    *instance
	started    int
	down       bool // is to stay down
	conditions overlay
}

// keep starts processes until the world ends.
func (k *keeper) keep() error {
	for k.world.ctx.Err() == nil {
		k.mu.Lock()
		if k.down {
			k.mu.Unlock()
			_ = sleep(k.world.ctx, 100*time.Millisecond)
			continue
		}
		k.started++
		i, err := k.start(k.name, k.started, k.conditions.top())
		k.current = i
		k.mu.Unlock()
		if err != nil {
			return fmt.Errorf("start %s: %w", k.name, err)
		}
		<-i.ended
		i.link.pace.end()
		_ = sleep(k.world.ctx, restartDelay)
	}
	return nil
}

// get returns the present process, which may have ended, or nil.
func (k *keeper) get() *instance {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// running tells whether there is a process to do something to.
func (k *keeper) running() bool {
	i := k.get()
	if i == nil {
		return false
	}
	select {
	case <-i.ended:
		return false
	default:
		return true
	}
}

// crash ends the present process without a chance to do anything.
func (k *keeper) crash() {
	if i := k.get(); i != nil {
		i.crashed.Store(true)
		i.link.kill()
		i.cancel()
	}
}

// stop ends the present process gracefully.
func (k *keeper) stop() {
	if i := k.get(); i != nil {
		i.cancel()
	}
}

// forget ends the present process for good, and keeps nothing of it.
func (k *keeper) forget() {
	k.keepDown(true)
	k.stop()
	if i := k.get(); i != nil {
		<-i.ended
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.current = nil
}

// keepDown lets no other process start, or does again.
func (k *keeper) keepDown(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
}

// change changes the conditions of this process and of the next ones.
func (k *keeper) change(how func(*overlay)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	how(&k.conditions)
	if k.current != nil && !k.current.crashed.Load() {
		k.current.link.set(k.conditions.top())
	}
}
