package rings

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

const (
	// freeWrites is how often a configuration that somebody changed is corrected at once.
	freeWrites = 3
	// minPause and maxPause bound the time until it is corrected after that.
	minPause, maxPause = 2 * time.Second, 30 * time.Second
	// calmAfter is how long a configuration must stay as it is until corrections are at once again.
	calmAfter = 5 * time.Minute
)

// guard limits how often one configuration is written, if somebody else changes it each time. What the controller itself
// wants to change is never held up.
type guard struct {
	wrote *admissionregistrationv1.MutatingWebhookConfiguration // what was last written
	undid int                                                   // how often that was corrected
	at    time.Time                                             // when it was last written
	old   string                                                // the resourceVersion before, empty if there was none
}

// wait returns how long the configuration has to be left as it is, zero if it may be written now.
func (g *guard) wait(want *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) time.Duration {
	if !g.contested(want, now) || g.undid < freeWrites {
		return 0
	}
	pause := min(minPause<<min(g.undid-freeWrites, 10), maxPause)
	return max(0, g.at.Add(pause).Sub(now))
}

// contested reports whether somebody has undone what was written lately.
func (g *guard) contested(want *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) bool {
	return g.wrote != nil && equality.Semantic.DeepEqual(g.wrote.Webhooks, want.Webhooks) &&
		equality.Semantic.DeepEqual(g.wrote.OwnerReferences, want.OwnerReferences) && now.Sub(g.at) < calmAfter
}

// unseen reports whether have is from before the last write, which wrote the same.
func (g *guard) unseen(have, want *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) bool {
	return have != nil && g.old == have.ResourceVersion && g.contested(want, now)
}

// written notes a write over have, which may be nil.
func (g *guard) written(have, want *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) {
	g.old = ""
	if have != nil {
		g.old = have.ResourceVersion
	}
	if g.contested(want, now) {
		g.undid++
	} else {
		g.undid = 0
	}
	g.wrote, g.at = want, now
}

// losing reports whether what was written lately was undone more often than by accident.
func (g *guard) losing(want *admissionregistrationv1.MutatingWebhookConfiguration, now time.Time) bool {
	return g.contested(want, now) && g.undid >= freeWrites
}
