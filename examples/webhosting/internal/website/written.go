package website

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// patience is how long events of what was written may take until the controller goes on without them. They usually take
// milliseconds. An object that somebody has deleted before its event came never shows up.
const patience = 5 * time.Second

// written remembers the versions of what was written for a Website, until the caches show them. Without it, a sync that
// follows too quickly would see its predecessor's writes undone and write everything once more.
type written struct {
	now func() time.Time

	mu        sync.Mutex
	byWebsite map[cache.ObjectName]map[string]version // by resource
}

type version struct {
	number string
	until  time.Time
}

func newWritten() *written {
	return &written{now: time.Now, byWebsite: map[cache.ObjectName]map[string]version{}}
}

// note remembers a write. number is the resourceVersion that it made.
func (w *written) note(website cache.ObjectName, resource, number string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	versions := w.byWebsite[website]
	if versions == nil {
		versions = map[string]version{}
		w.byWebsite[website] = versions
	}
	versions[resource] = version{number: number, until: w.now().Add(patience)}
}

// missing tells whether a cache has yet to show something that was written, and for how long at most to wait for it. cached
// returns the resourceVersion in the cache of a resource, which is empty if there is none.
func (w *written) missing(website cache.ObjectName, cached func(resource string) string) (wait time.Duration, missing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now()
	versions := w.byWebsite[website]
	for resource, v := range versions {
		left := v.until.Sub(now)
		if left <= 0 || reached(cached(resource), v.number) {
			delete(versions, resource)
			continue
		}
		wait, missing = max(wait, left), true
	}
	if len(versions) == 0 {
		delete(w.byWebsite, website)
	}
	return wait, missing
}

// forget forgets all about a Website.
func (w *written) forget(website cache.ObjectName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.byWebsite, website)
}

// reached tells whether one version is the other or a later one.
func reached(cached, number string) bool {
	order, err := resourceversion.CompareResourceVersion(cached, number)
	return err == nil && order >= 0
}
