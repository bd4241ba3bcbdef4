package source

import (
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// errEnded is why a watch that just ended, right after it was opened, does not work: the client says so of connections that break.
var errEnded = errors.New("the watch ends at once")

// A trouble is that something has failed for a while, and that others may fare better: this process got no answer, or has no
// right. What the API server answers to everybody is none, for example that it cannot convert the objects of a resource.
type trouble struct {
	since time.Time // zero if there is none
	err   error     // of the last attempt
}

func (t *trouble) note(err error) {
	if !lonely(err) {
		*t = trouble{}
		return
	}
	if t.err = err; t.since.IsZero() {
		t.since = time.Now()
	}
}

// lonely reports whether an attempt failed for a reason that others need not have.
func lonely(err error) bool {
	var answer apierrors.APIStatus
	if errors.As(err, &answer) {
		return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
	}
	return err != nil
}

// Trouble returns since when this process cannot read or watch although others may be able to, and why. The time is zero if
// there is nothing of the kind. A connection that is cut without a word shows when its watch should have ended, after ten
// minutes; HTTP/2, which clients speak by default, notices within a minute.
func (i *Informer) Trouble() (since time.Time, err error) {
	i.source.mu.Lock()
	defer i.source.mu.Unlock()
	reading, watching := i.source.reading, i.source.watching
	if reading.since.IsZero() || !watching.since.IsZero() && watching.since.Before(reading.since) {
		return watching.since, watching.err
	}
	return reading.since, reading.err
}
