package sim

import (
	"reflect"
	"sync"
	"time"

	"github.com/clusterring/clusterring/pkg/shard"
)

// awakening is within what time after a pause the goroutines of a process get their turns.
const awakening = 50 * time.Millisecond

// pace is how time passes for a process: at a rate of its own, and not at all while the process is paused. It is safe for
// concurrent use.
type pace struct {
	name  string
	dice  dice
	began time.Time
	// rate is how many seconds the clock of the process counts in a second.
	rate float64

	mu      sync.Mutex
	pauses  int
	since   time.Time     // when the present pause began
	resumed chan struct{} // closed when it ends; nil if there is none
	ended   bool
}

func newPace(name string, d dice) *pace {
	return &pace{name: name, dice: d, began: time.Now(), rate: 1}
}

// pause stops the process, or has it go on.
func (p *pace) pause(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.resumed == nil && !p.ended:
		p.pauses, p.since, p.resumed = p.pauses+1, time.Now(), make(chan struct{})
	case !on && p.resumed != nil:
		close(p.resumed)
		p.resumed = nil
	}
}

// end lets go of what waits in a process that is gone.
func (p *pace) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.pause(false)
}

func (p *pace) paused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.resumed != nil
}

// passed returns how much time has passed for the process. What it does during a pause, it might have done just before.
func (p *pace) passed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.resumed != nil {
		now = p.since
	}
	return time.Duration(float64(now.Sub(p.began)) * p.rate)
}

// wait returns when the process runs. After a pause, each goroutine gets its turn at a time of its own: what names it.
func (p *pace) wait(what ...any) {
	for {
		p.mu.Lock()
		resumed, n := p.resumed, p.pauses
		p.mu.Unlock()
		if resumed == nil {
			return
		}
		<-resumed
		time.Sleep(between(p.dice.roll(append([]any{p.name, "wakes up", n}, what...)...), 0, awakening))
	}
}

// lasts returns how long something takes that the process takes for so long.
func (p *pace) lasts(d time.Duration) time.Duration { return time.Duration(float64(d) / p.rate) }

// setClock has the Lease of a shard, and so its deadline and its fence, read the clock of its process. Nobody but a simulation
// needs another clock than the machine's, so there is no setting for it, and this reaches for the field that the tests of
// package lease set.
func (p *pace) setClock(lib *shard.Shard) {
	clock := settable(reflect.ValueOf(lib).Elem().FieldByName("lease").Elem().FieldByName("clock"))
	kind := clock.Type()
	clock.Set(reflect.MakeFunc(kind, func([]reflect.Value) []reflect.Value {
		passed := p.passed()
		instant := reflect.New(kind.Out(0)).Elem()
		settable(instant.FieldByName("mono")).Set(reflect.ValueOf(passed))
		settable(instant.FieldByName("wall")).Set(reflect.ValueOf(p.began.Add(passed).Round(0)))
		return []reflect.Value{instant}
	}))
}

// settable returns a field that is not exported as if it were.
func settable(field reflect.Value) reflect.Value {
	return reflect.NewAt(field.Type(), field.Addr().UnsafePointer()).Elem()
}
