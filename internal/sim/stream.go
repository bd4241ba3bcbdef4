package sim

import (
	"context"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// stream is a watch on its way through a link: events come late, and it breaks.
type stream struct {
	link   *link
	path   string
	body   io.ReadCloser
	ctx    context.Context
	chance *rand.Rand
	end    *time.Timer
	stay   func() bool // forgets that the stream ends with its API server
	broken chan struct{}
	once   sync.Once
}

// stream returns the body of a watch as the process sees it. there ends when the API server goes away.
func (l *link) stream(req *http.Request, body io.ReadCloser, chance *rand.Rand, c Conditions, there context.Context) io.ReadCloser {
	s := &stream{link: l, path: req.URL.Path, body: body, ctx: req.Context(), chance: chance, broken: make(chan struct{})}
	s.stay = context.AfterFunc(there, s.breakOff)
	if c.WatchLife > 0 {
		s.end = time.AfterFunc(between(chance, 0, 2*c.WatchLife), s.breakOff)
	}
	l.mu.Lock()
	l.streams[s] = struct{}{}
	over := l.dead || l.conditions.Refused
	l.mu.Unlock()
	if over {
		s.breakOff()
	}
	return s
}

// breakOff ends the stream as a lost connection does.
func (s *stream) breakOff() {
	s.once.Do(func() {
		close(s.broken)
		_ = s.body.Close()
		s.link.mu.Lock()
		delete(s.link.streams, s)
		s.link.mu.Unlock()
	})
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.body.Read(p)
	s.link.pace.wait("sees", s.path)
	select {
	case <-s.broken:
		return 0, errReset
	default:
	}
	if err != nil {
		return n, err
	}
	c, _, _ := s.link.get()
	if c.WatchLag > 0 {
		if err := s.wait(time.After(between(s.chance, 0, 2*c.WatchLag))); err != nil {
			return 0, err
		}
	}
	for {
		s.link.pace.wait("sees", s.path)
		c, changed, _ := s.link.get()
		if !c.Cut {
			return n, nil
		}
		select {
		case <-changed:
		case <-s.broken:
			return 0, errReset
		case <-s.ctx.Done():
			return 0, s.ctx.Err()
		}
	}
}

func (s *stream) wait(until <-chan time.Time) error {
	select {
	case <-until:
		return nil
	case <-s.broken:
		return errReset
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

func (s *stream) Close() error {
	if s.end != nil {
		s.end.Stop()
	}
	s.stay()
	s.breakOff()
	return nil
}
