package labels

import (
	"sync"
	"time"
)

const (
	// missedDelay is how long an audit waits after something may have been missed, so that it finds what came with it.
	missedDelay = 5 * time.Second
	// maxNamespaces is how many namespaces wait for an audit of their own. If there are more, all are audited.
	maxNamespaces = 64
	never         = 100 * 365 * 24 * time.Hour
)

// schedule says when audits are due: of everything from time to time, and early on request.
type schedule struct {
	wake chan struct{}

	mu         sync.Mutex
	all        time.Time
	earliest   time.Time // of an early audit of everything
	namespaces map[string]bool
}

func newSchedule() *schedule {
	return &schedule{wake: make(chan struct{}, 1), namespaces: map[string]bool{}, all: time.Now()}
}

// request asks for an audit of the namespace as soon as possible, or of everything, if it is empty, after the delay.
func (s *schedule) request(namespace string, delay time.Duration) {
	s.mu.Lock()
	due := time.Now().Add(delay)
	if due.Before(s.earliest) {
		due = s.earliest
	}
	switch {
	case namespace != "" && len(s.namespaces) < maxNamespaces:
		s.namespaces[namespace] = true
	case due.Before(s.all):
		s.all = due
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the namespaces that are due, one of which is empty if everything is, or how long to wait.
func (s *schedule) take(now time.Time) (namespaces []string, after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !now.Before(s.all) {
		clear(s.namespaces)
		s.all = now.Add(never) // until done is called
		return []string{""}, 0
	}
	for namespace := range s.namespaces {
		namespaces = append(namespaces, namespace)
	}
	clear(s.namespaces)
	return namespaces, s.all.Sub(now)
}

// done notes the end of an audit of everything that took so long. Early audits take a tenth of the time at most.
func (s *schedule) done(now time.Time, took, interval time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earliest = now.Add(max(10*took, time.Second))
	if s.all.Before(s.earliest) { // It was asked for during the audit, which may have been past what it is about.
		s.all = s.earliest
	}
	if next := now.Add(interval); next.Before(s.all) {
		s.all = next
	}
}
