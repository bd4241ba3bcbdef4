package source

import (
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// errEnded is why a watch that just ended, right after it was opened, does not work: the client says so of connections that break.
var errEnded = errors.New("the watch ends at once")

// A Trouble is that something has failed for a while, and that others may fare better: this process got no answer, or has no
// right. What the API server answers to everybody is none, for example that it cannot convert the objects of a resource.
type Trouble struct {
	Since time.Time // zero if there is none
	Err   error     // of the last attempt
}

// Note takes notice of an attempt, which has succeeded if the error is nil.
func (t *Trouble) Note(err error) {
	if !lonely(err) {
		*t = Trouble{}
		return
	}
	if t.Err = err; t.Since.IsZero() {
		t.Since = time.Now()
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

// Trouble returns since when this process cannot read or watch although others may be able to, and
// why. A connection that is cut without a word shows when its watch should have ended, after ten
// minutes; HTTP/2, which clients speak by default, notices within a minute.
func (i *Informer) Trouble() Trouble {
	i.source.mu.Lock()
	defer i.source.mu.Unlock()
	reading, watching := i.source.reading, i.source.watching
	if reading.Since.IsZero() || !watching.Since.IsZero() && watching.Since.Before(reading.Since) {
		return watching
	}
	return reading
}
