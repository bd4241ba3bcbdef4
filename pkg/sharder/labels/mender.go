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
	// maxTasks bounds the objects of a resource that wait for their first attempt. Whoever finds more has to wait.
	maxTasks = 4096
	// unknownRetry is how long an object waits whose namespace has not been seen yet.
	unknownRetry = 200 * time.Millisecond
)

// mender writes the labels of one resource of a ring: a queue of objects, and writers.
type mender struct {
	ring     *runner
	resource resources.Resource
	queue    workqueue.TypedDelayingInterface[object]
	// room has one element for each object whose first attempt waits or is under way.
	room chan struct{}

	mu sync.Mutex
	// tasks are what waits for an attempt. An attempt begins by taking its task, so what is found
	// while it is under way is a task again, and the queue hands the object out once more.
	tasks    map[object]*task
	retries  int // tasks without room
	attempts int64
	refusals *refusals
}

// task is what has to be done with an object.
type task struct {
	// value is what the label should be; empty for none. If it is not decided, the object is read first.
	value   string
	decided bool
	reason  string
	room    bool // It waits for its first attempt.
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
	select {
	case m.room <- struct{}{}:
	case <-ctx.Done():
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if known := m.tasks[o]; known != nil {
		known.decided = false // There is news of it, in an order that nobody knows.
		<-m.room
	} else {
		t.room = true
		m.tasks[o] = &t
	}
	m.queue.AddAfter(o, delay)
}

// drop notes that a watch saw the label of the object appear, or the object go. The label may be wrong: whoever watches for
// that, too, reads the object before it is written.
func (m *mender) drop(o object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusals.fine(o)
	if t := m.tasks[o]; t != nil && m.ring.cfg.Lead {
		t.decided = false
	} else if t = m.take(o); t != nil && t.room {
		<-m.room
	}
}

// take takes the task of the object out, if there is one. The caller holds the lock, and gives up the room of the task.
func (m *mender) take(o object) *task {
	t := m.tasks[o]
	if t != nil && !t.room {
		m.retries--
	}
	delete(m.tasks, o)
	return t
}

// retry queues an object for another attempt, unless there is a task already, or too many wait for one. The caller holds the
// lock.
func (m *mender) retry(o object, reason string, after time.Duration) {
	if m.tasks[o] != nil || m.retries >= maxRemembered {
		return // It is in the queue, or found by the next audit.
	}
	m.retries++
	m.tasks[o] = &task{reason: reason}
	m.queue.AddAfter(o, after)
}

func (m *mender) attempt(ctx context.Context, o object) {
	m.mu.Lock()
	m.attempts++
	t := m.take(o)
	if t == nil {
		m.mu.Unlock()
		return
	}
	if t.room {
		defer func() { <-m.room }()
	}
	wait := m.refusals.delay(time.Now(), o)
	if wait > 0 {
		m.retry(o, t.reason, wait)
	}
	audited := t.reason == reasonAudit || t.reason == reasonChild
	leave := wait > 0 || audited && m.refusals.leavesOut(o, m.retries >= maxRemembered)
	m.mu.Unlock()
	if leave {
		return
	}

	w := wanted{value: t.value, known: true}
	var err error
	if !t.decided {
		var now *metav1.PartialObjectMetadata
		if now, err = o.read(ctx, m.ring.cfg.Metadata); err == nil {
			w, err = m.ring.wants(ctx, m.resource, now)
		}
	}
	write := err == nil && w.known && !w.keep
	if write {
		err = o.write(ctx, m.ring.cfg.Metadata, m.ring.label, w.value)
	}
	if ctx.Err() == nil {
		m.note(ctx, o, t.reason, w, write, err)
	}
}

// note takes down what became of an attempt.
func (m *mender) note(ctx context.Context, o object, reason string, w wanted, write bool, err error) {
	logger := klog.FromContext(ctx)
	ring, metrics := m.ring.name, m.ring.cfg.Metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		metrics.refused.WithLabelValues(ring, kindOf(err)).Inc()
		delay := m.refusals.refuse(time.Now(), o, err)
		logger.V(2).Info("Label could not be written, trying again", "object", o.String(), "after", delay, "err", err)
		m.retry(o, reason, delay)
	case !w.known:
		m.retry(o, reason, unknownRetry)
	case write:
		if w.value == "" {
			reason = reasonLeft
		}
		metrics.written.WithLabelValues(ring, reason).Inc()
		logger.V(2).Info("Wrote a label", "object", o.String(), "slot", w.value, "reason", reason)
		if m.refusals.written(time.Now(), o) {
			m.ring.audits.request(o.namespace, 0)
		}
	default:
		m.refusals.fine(o)
	}
}

// settle waits until each object that was found has been attempted, but not for longer than timeout without any attempt. What
// waits for another attempt is not waited for.
func (m *mender) settle(ctx context.Context, timeout time.Duration) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		m.mu.Lock()
		attempts := m.attempts
		m.mu.Unlock()
		if attempts != last {
			last, since = attempts, time.Now()
		}
		if len(m.room) == 0 || time.Since(since) > timeout {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// recount begins to count again what audits leave out, in a namespace or everywhere.
func (m *mender) recount(namespace string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusals.recount(namespace)
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
