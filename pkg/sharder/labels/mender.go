package labels

import (
	"context"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

const (
	// maxTasks bounds the objects of a resource that wait. Whoever finds more has to wait.
	maxTasks = 4096
	// unknownRetry is how long an object waits whose namespace has not been seen yet.
	unknownRetry = 200 * time.Millisecond
)

// mender writes the labels of one resource of a ring: a queue of objects, and writers.
type mender struct {
	ring     *runner
	resource resources.Resource
	queue    workqueue.TypedDelayingInterface[object]
	room     chan struct{} // one for each task

	mu       sync.Mutex
	tasks    map[object]*task
	waiting  int // tasks that were not attempted yet
	attempts int64
	refusals *refusals
}

// task is what has to be done with an object.
type task struct {
	// value is what the label should be; empty for none. If it is not decided, the object is read first.
	value   string
	decided bool
	reason  string
	// tried says that there was an attempt.
	tried bool
}

func newMender(r *runner, resource resources.Resource) *mender {
	return &mender{
		ring: r, resource: resource, room: make(chan struct{}, maxTasks), tasks: map[object]*task{}, refusals: newRefusals(),
		queue: workqueue.NewTypedDelayingQueue[object](),
	}
}

// run writes until ctx ends.
func (m *mender) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range m.ring.cfg.Writers {
		wg.Go(func() {
			for {
				o, shutdown := m.queue.Get()
				if shutdown {
					return
				}
				if ctx.Err() == nil {
					m.attempt(ctx, o)
				}
				m.queue.Done(o)
			}
		})
	}
	<-ctx.Done()
	m.queue.ShutDown()
	wg.Wait()
}

// offer queues an object after the delay. It waits for room, and returns early when ctx ends.
func (m *mender) offer(ctx context.Context, o object, t task, delay time.Duration) {
	if m.known(o) {
		return
	}
	select {
	case m.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tasks[o] != nil {
		<-m.room
		return
	}
	m.tasks[o] = &t
	m.waiting++
	m.queue.AddAfter(o, max(delay, m.refusals.delay(time.Now(), o)))
}

// known reports whether there is nothing to do for the object that is not done already: it is queued, and is read before it
// is written then, or another one stands for it.
func (m *mender) known(o object) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.tasks[o]
	if t != nil {
		t.decided = false
	}
	return t != nil || m.refusals.closed(o)
}

// drop forgets an object that needs nothing any more.
func (m *mender) drop(o object) {
	m.mu.Lock()
	m.finish(o)
	opened := m.refusals.fine(o)
	m.mu.Unlock()
	if opened {
		m.ring.audits.request(o.namespace, 0)
	}
}

// finish forgets the task of the object. The caller holds the lock.
func (m *mender) finish(o object) {
	t := m.tasks[o]
	if t == nil {
		return
	}
	if !t.tried {
		m.waiting--
	}
	delete(m.tasks, o)
	<-m.room
}

// retry queues the task again, unless too many wait for another attempt. The caller holds the lock.
func (m *mender) retry(o object, after time.Duration) {
	t := m.tasks[o]
	if t == nil {
		return
	}
	if !t.tried {
		t.tried = true
		m.waiting--
	}
	t.decided = false
	if len(m.tasks)-m.waiting > maxRemembered {
		m.finish(o) // The next audit finds it.
		return
	}
	m.queue.AddAfter(o, after)
}

func (m *mender) attempt(ctx context.Context, o object) {
	m.mu.Lock()
	m.attempts++
	t := m.tasks[o]
	if t == nil || m.refusals.closed(o) {
		m.finish(o)
		m.mu.Unlock()
		return
	}
	todo := *t
	m.mu.Unlock()

	w := wanted{value: todo.value, known: true}
	var err error
	if !todo.decided {
		var now *metav1.PartialObjectMetadata
		if now, err = o.read(ctx, m.ring.cfg.Metadata); err == nil {
			w, err = m.ring.wants(ctx, m.resource, now)
		}
		if err == nil && !w.known {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.retry(o, unknownRetry)
			return
		}
	}
	write := err == nil && !w.keep
	if write {
		err = o.write(ctx, m.ring.cfg.Metadata, m.ring.label, w.value)
	}
	if ctx.Err() != nil {
		return
	}
	m.note(ctx, o, todo, w, write, err)
}

// note takes down what became of an attempt.
func (m *mender) note(ctx context.Context, o object, todo task, w wanted, write bool, err error) {
	logger := klog.FromContext(ctx)
	ring, metrics := m.ring.name, m.ring.cfg.Metrics
	m.mu.Lock()
	opened := false
	switch {
	case err != nil:
		metrics.refused.WithLabelValues(ring, kindOf(err)).Inc()
		delay := m.refusals.refuse(time.Now(), o, err)
		logger.V(2).Info("Label could not be written, trying again", "object", o.String(), "after", delay, "err", err)
		m.retry(o, delay)
	case write:
		if w.value == "" {
			todo.reason = reasonLeft
		}
		metrics.written.WithLabelValues(ring, todo.reason).Inc()
		logger.V(2).Info("Wrote a label", "object", o.String(), "slot", w.value, "reason", todo.reason)
		opened = m.refusals.written(time.Now(), o)
		m.finish(o)
	default:
		opened = m.refusals.fine(o)
		m.finish(o)
	}
	m.mu.Unlock()
	if opened {
		m.ring.audits.request(o.namespace, 0)
	}
}

// settle waits until each task has been attempted at least once, but not for longer than timeout without any attempt.
func (m *mender) settle(ctx context.Context, timeout time.Duration) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		m.mu.Lock()
		waiting, attempts := m.waiting, m.attempts
		m.mu.Unlock()
		if attempts != last {
			last, since = attempts, time.Now()
		}
		if waiting == 0 || time.Since(since) > timeout {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stuck returns what is stuck of this resource.
func (m *mender) stuck() (n int, example *trouble) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, t := m.refusals.stuck(time.Now())
	if t == nil {
		return 0, nil
	}
	found := *t
	return n, &found
}
