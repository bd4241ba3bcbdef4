package cluster

import (
	"context"
	"time"

	"github.com/clusterring/clusterring/tools/devcluster/internal/process"
)

// restartDelay comes before each restart of a component that ended unexpectedly.
const restartDelay = 500 * time.Millisecond

// watch deals with an end of the process p of c that nobody asked for.
//
// The controller manager is always started again, as a kubelet would: it is made to give up, for example when the API
// server is away while it starts. Otherwise it is the user's choice, and the default is to end everything, because what
// a test sees after an unexpected end means little.
func (s *Supervisor) watch(c *component, p *process.Process) {
	<-p.Done()
	c.orders.Lock()
	defer c.orders.Unlock()
	if s.process(c) != p {
		return // it was asked for
	}
	err := endedError(c.name, p)
	s.set(c, nil, Stopped)
	if c.name != ControllerManager && !s.opts.Restart {
		select {
		case s.fatal <- err:
		default: // the first one counts
		}
		return
	}
	s.say("%v\n", err)
	s.startAgain(c)
}

// startAgain starts c until that succeeds or c is stopped. The caller holds c.orders.
func (s *Supervisor) startAgain(c *component) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.mu.Lock()
	c.giveUp = cancel
	if !c.wanted {
		cancel()
	}
	s.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartDelay):
		}
		s.count(c)
		err := s.startLocked(ctx, c)
		if err == nil {
			return
		}
		s.say("%v\n", err)
	}
}

// setWanted notes whether c should run, and ends attempts to start it again when it should not.
func (s *Supervisor) setWanted(c *component, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.wanted = wanted
	if !wanted && c.giveUp != nil {
		c.giveUp()
	}
}
