package sharder

import "sync"

// signal passes names of rings on to who listens at the time. The zero value is ready.
type signal struct {
	mu        sync.Mutex
	next      int
	listeners map[int]func(ring string)
}

// Post calls all listeners.
func (s *signal) Post(ring string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.listeners {
		f(ring)
	}
}

// Subscribe adds a listener, until stop is called. It must not block.
func (s *signal) Subscribe(f func(ring string)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listeners == nil {
		s.listeners = map[int]func(string){}
	}
	id := s.next
	s.next++
	s.listeners[id] = f
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, id)
	}
}
