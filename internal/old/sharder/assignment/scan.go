package assignment

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/relabel"
	"github.com/clusterring/clusterring/internal/old/sharder/scope"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
)

// passes is when a ring is scanned again that was not yet as it should be.
var passes = []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second,
	30 * time.Second, time.Minute}

const (
	// extraAuditDelay is how long an audit waits that was brought forward, for more reasons to come.
	extraAuditDelay = 1500 * time.Millisecond
	// extraAuditInterval is the least time between two of them.
	extraAuditInterval = 15 * time.Second
	// patientScans is how many scans leave controlled objects alone while main objects are on their way.
	patientScans = 3
	// maxGone bounds how many names of shards that are gone a scan remembers: labels may hold anything.
	maxGone = 1000
)

// scanState is what is remembered between two scans of a ring.
type scanState struct {
	// attempt counts the scans since the members changed or a scan found nothing to do.
	attempt int
	// extra is when the last audit that was brought forward is due.
	extra time.Time
	// warned is the last problem that was logged.
	warned string
}

// scan is one pass over all objects of a ring.
type scan struct {
	*Controller
	ring     string
	attempt  int // 0 for the first since the ring changed
	progress *progress

	mu       sync.Mutex
	findings map[string]int
	gone     map[string]struct{} // shards that are not held but have objects
	problems []string            // resources that could not be read or written, and why
	err      error               // the first error that is none of these
}

// Findings are values of a metric's label.
const (
	findUnassigned = "unassigned"
	findEvacuate   = "evacuate"
	findMisplaced  = "misplaced"
	findStray      = "stray"
	findDraining   = "draining"
)

// scan looks at all objects of a ring, and asks to be called again: soon if there was anything to do, else for the next audit.
func (c *Controller) scan(ctx context.Context, ring string) (time.Duration, error) {
	logger := klog.LoggerWithValues(klog.FromContext(ctx), "ring", ring)
	ctx = klog.NewContext(ctx, logger)
	sc, ok := c.scopes.Get(ring)
	if !ok || sc.View.Empty() {
		return 0, nil // A change of the ring brings us back.
	}
	c.mu.Lock()
	attempt := c.scanStateLocked(ring).attempt
	c.mu.Unlock()

	s := &scan{Controller: c, ring: ring, attempt: attempt, findings: map[string]int{}, gone: map[string]struct{}{}}
	s.progress = c.newProgress(ctx, "Scanning a ring")
	s.run(ctx, sc)
	s.progress.stop()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return s.finish(ctx)
}

func (s *scan) run(ctx context.Context, sc *scope.Scope) {
	s.pass(ctx, mains(sc), s.main)
	// Controlled objects follow, and shards that let go of an object see to its family themselves. Only if one does not let go
	// for some time, what can be done about other families is done all the same.
	if s.unsettled() && s.attempt < patientScans {
		return
	}
	s.pass(ctx, sc.Controlled(), s.controlled)
}

// unsettled says that main objects have been found that are on their way from one live shard to another.
func (s *scan) unsettled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.findings[findMisplaced]+s.findings[findDraining] > 0
}

// pass has every object of the resources looked at, and returns when all has been done about them.
func (s *scan) pass(ctx context.Context, all []resources.Resource, look func(*pool, resources.Resource) func(context.Context, *metav1.PartialObjectMetadata) error) {
	for _, r := range all {
		if ctx.Err() != nil {
			return
		}
		p := newPool(ctx, s.slotsOf(s.ring))
		err := s.lister.Each(ctx, r.GVR, labels.Everything(), look(p, r))
		p.wait()
		s.failed(r, err)
	}
}

func (s *scan) main(p *pool, r resources.Resource) func(context.Context, *metav1.PartialObjectMetadata) error {
	return func(ctx context.Context, object *metav1.PartialObjectMetadata) error {
		sc, ok := s.look()
		if !ok {
			return errGone
		}
		inside, _ := sc.Inside(object.Namespace)
		d := sc.View.Main(scope.MainKey(r, object), placement.LabelsOf(s.ring, object.Labels), inside)
		if d.Action == placement.Assign && s.attempt == 0 {
			// It is left to package unassigned at first: two writes for one object make a conflict.
			s.found(findUnassigned)
			return nil
		}
		return s.act(ctx, p, r, object, d, "audit")
	}
}

func (s *scan) controlled(p *pool, r resources.Resource) func(context.Context, *metav1.PartialObjectMetadata) error {
	return func(ctx context.Context, object *metav1.PartialObjectMetadata) error {
		sc, ok := s.look()
		if !ok {
			return errGone
		}
		controller, ok := sc.ControllerOf(r, object)
		if !ok {
			return nil
		}
		inside, _ := sc.Inside(object.Namespace)
		l := placement.LabelsOf(s.ring, object.Labels)
		d := sc.View.Controlled(controller.Key, l, inside)
		if d.Action != placement.Follow {
			return s.act(ctx, p, r, object, d, "audit")
		}
		object = slim(object)
		return p.submit(ctx, func(ctx context.Context) {
			owner, err := s.owner(ctx, s.ring, controller)
			if err != nil {
				s.failed(controller.Resource, err)
				return
			}
			if d := sc.View.FollowOwner(controller.Key, l, owner, inside); d.Action != placement.None {
				s.found(findStray)
				s.do(ctx, r, object, d, "owner")
			}
		})
	}
}

// look counts an object and returns the ring as it is now.
func (s *scan) look() (*scope.Scope, bool) {
	s.progress.looked.Add(1)
	return s.scopes.Get(s.ring)
}

// act has something done about an object that is not controlled, or at a shard that is gone.
func (s *scan) act(ctx context.Context, p *pool, r resources.Resource, object *metav1.PartialObjectMetadata, d placement.Decision, by string) error {
	switch d.Action {
	case placement.None:
		return nil
	case placement.Wait:
		s.found(findDraining)
		return nil
	case placement.Evacuate:
		s.found(findEvacuate)
		s.mu.Lock()
		if len(s.gone) < maxGone {
			s.gone[d.Shard] = struct{}{}
		}
		s.mu.Unlock()
		return nil
	case placement.Assign:
		s.found(findUnassigned)
	default:
		s.found(findMisplaced)
	}
	object = slim(object)
	return p.submit(ctx, func(ctx context.Context) { s.do(ctx, r, object, d, by) })
}

func (s *scan) do(ctx context.Context, r resources.Resource, object *metav1.PartialObjectMetadata, d placement.Decision, by string) {
	var outcome relabel.Outcome
	var err error
	switch d.Action {
	case placement.Assign:
		outcome, err = s.writer.Assign(ctx, s.ring, r, object, d.Shard, by)
	case placement.Drain:
		outcome, err = s.writer.Drain(ctx, s.ring, r, object)
	case placement.Undrain:
		outcome, err = s.writer.Undrain(ctx, s.ring, r, object)
	}
	switch outcome {
	case relabel.Written:
		s.progress.moved.Add(1)
	case relabel.Conflict:
		s.progress.conflicts.Add(1)
	}
	s.failed(r, err)
}

// failed notes an error that is about a resource.
func (s *scan) failed(r resources.Resource, err error) {
	if err == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isRefused(err) && !isBroken(err) {
		if s.err == nil {
			s.err = err
		}
		return
	}
	name := r.GroupResource().String()
	for _, p := range s.problems {
		if strings.HasPrefix(p, name+": ") {
			return
		}
	}
	s.problems = append(s.problems, fmt.Sprintf("%s: %v", name, err))
	s.metrics.refused.WithLabelValues(s.ring, name).Inc()
}

func (s *scan) found(finding string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.findings[finding]++
}
