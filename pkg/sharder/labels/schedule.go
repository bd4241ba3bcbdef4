package labels

import (
	"context"
	"time"

	"k8s.io/client-go/util/workqueue"
)

const (
	// missedDelay is how long an audit waits after something may have been missed, so that it finds what came with it.
	missedDelay = 5 * time.Second
	// maxNamespaces is how many namespaces wait for an audit of their own. If there are more, all are audited.
	maxNamespaces = 64
)

// schedule says when audits are due: of everything from time to time, and early on request.
type schedule struct {
	// queue has the namespaces that are to be audited; an empty one stands for everything.
	queue workqueue.TypedDelayingInterface[string]
}

func newSchedule() *schedule {
	s := &schedule{queue: workqueue.NewTypedDelayingQueue[string]()}
	s.queue.Add("")
	return s
}

// request asks for an audit of the namespace as soon as possible, or of everything, if it is empty, after the delay.
func (s *schedule) request(namespace string, delay time.Duration) {
	if namespace != "" && s.queue.Len() >= maxNamespaces {
		namespace = ""
	}
	s.queue.AddAfter(namespace, delay)
}

// run calls audit with what is due, one after the other, until ctx ends: with everything at first, and again after each
// interval. Early audits of everything take a tenth of the time at most.
func (s *schedule) run(ctx context.Context, interval time.Duration, audit func(ctx context.Context, namespace string)) {
	defer context.AfterFunc(ctx, s.queue.ShutDown)()
	var earliest time.Time // of an early audit of everything
	for {
		namespace, shutdown := s.queue.Get()
		if shutdown {
			return
		}
		began := time.Now()
		switch {
		case namespace != "":
			audit(ctx, namespace)
		case began.Before(earliest):
			s.queue.AddAfter("", earliest.Sub(began))
		default:
			audit(ctx, "")
			earliest = time.Now().Add(min(max(10*time.Since(began), time.Second), interval))
			s.queue.AddAfter("", interval)
		}
		s.queue.Done(namespace)
	}
}
