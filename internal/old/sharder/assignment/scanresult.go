package assignment

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

// finish records the result and says when to scan again.
func (s *scan) finish(ctx context.Context) (time.Duration, error) {
	duration := s.cfg.Clock.Since(s.progress.started)
	looked, changed := s.progress.looked.Load(), s.progress.moved.Load()
	result, open := "clean", 0
	for finding, n := range s.findings {
		s.metrics.findings.WithLabelValues(s.ring, finding).Add(float64(n))
		if finding != findEvacuate {
			open += n
		}
	}
	switch {
	case s.err != nil:
		result = "failed"
	case len(s.problems) > 0:
		result = "incomplete"
	case open > 0 || len(s.gone) > 0:
		result = "changed"
	}
	s.metrics.audits.WithLabelValues(s.ring, result).Inc()
	s.metrics.auditDuration.WithLabelValues(s.ring).Observe(duration.Seconds())
	if s.err == nil {
		s.metrics.auditObjects.WithLabelValues(s.ring).Set(float64(looked))
	}
	if w := s.running.Load(); w != nil {
		for shard := range s.gone {
			w.evacuations.Add(shardKey{s.ring, shard})
		}
	}
	logger := klog.FromContext(ctx)
	if changed > 0 {
		logger.Info("Scanned a ring", "objects", looked, "changed", changed, "conflicts", s.progress.conflicts.Load(),
			"findings", s.findings, "duration", duration.Round(time.Millisecond))
	} else {
		logger.V(2).Info("Scanned a ring", "objects", looked, "findings", s.findings, "duration", duration.Round(time.Millisecond))
	}
	if s.err != nil {
		return 0, fmt.Errorf("scan ring %q: %w", s.ring, s.err)
	}
	return s.next(ctx, open), nil
}

// next returns when the ring is to be scanned again. open is the number of objects that are not yet where they belong.
func (s *scan) next(ctx context.Context, open int) time.Duration {
	s.Controller.mu.Lock()
	defer s.Controller.mu.Unlock()
	state := s.scanStateLocked(s.ring)
	if problems := strings.Join(s.problems, "; "); problems != state.warned {
		state.warned = problems
		if problems != "" {
			klog.FromContext(ctx).Info("Objects of a ring can't be read or written", "problems", problems)
		}
	}
	if open > 0 || len(s.problems) > 0 {
		if s.progress.moved.Load() > 0 {
			state.attempt = min(state.attempt, 1) // It is going on.
		}
		return step(passes, &state.attempt)
	}
	state.attempt = 0
	return wait.Jitter(s.cfg.AuditInterval, 0.1)
}

func (c *Controller) scanStateLocked(ring string) *scanState {
	state, ok := c.scans[ring]
	if !ok {
		state = &scanState{}
		c.scans[ring] = state
	}
	return state
}

// delayOfExtraAudit returns how long an audit is to wait that is brought forward.
func (c *Controller) delayOfExtraAudit(ring string) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	state, now := c.scanStateLocked(ring), c.cfg.Clock.Now()
	if state.extra.After(now) {
		return state.extra.Sub(now) // There is one under way.
	}
	due := now.Add(extraAuditDelay)
	if next := state.extra.Add(extraAuditInterval); next.After(due) {
		due = next
	}
	state.extra = due
	return due.Sub(now)
}
