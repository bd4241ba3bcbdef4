package load

import (
	"container/list"
	"fmt"
	"math/rand/v2"
	"sync"
)

// website is a Website that was created and not deleted.
type website struct {
	name, theme string
	index       int           // in websites.all
	element     *list.Element // in websites.idle, nil while it is being changed
	gone        bool
}

// websites are the Websites that exist, and the random choices among them and of new ones. It is safe for concurrent use.
type websites struct {
	mu     sync.Mutex
	random *rand.Rand
	themes []string
	names  map[string]bool // all that were ever given
	all    []*website      // in no order, to choose from at random
	idle   *list.List      // of *website, the one that was not changed for longest first
}

func newWebsites(seed uint64, themes []string) *websites {
	return &websites{random: rand.New(rand.NewPCG(seed, 0x10ad)), themes: themes, names: map[string]bool{}, idle: list.New()}
}

// count returns how many Websites there are.
func (w *websites) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

// create returns a Website that does not exist yet. It must be added once it does.
func (w *websites) create() *website {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		name := fmt.Sprintf("website-%08x", w.random.Uint32())
		if !w.names[name] {
			w.names[name] = true
			return &website{name: name, theme: w.themes[w.random.IntN(len(w.themes))]}
		}
	}
}

// add adds a Website that was created.
func (w *websites) add(site *website) {
	w.mu.Lock()
	defer w.mu.Unlock()
	site.index = len(w.all)
	w.all = append(w.all, site)
	site.element = w.idle.PushBack(site)
}

// remove takes a Website out at random, to delete it. It returns nil when there is none.
func (w *websites) remove() *website {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		return nil
	}
	site := w.all[w.random.IntN(len(w.all))]
	last := w.all[len(w.all)-1]
	w.all[site.index], last.index = last, site.index
	w.all = w.all[:len(w.all)-1]
	if site.element != nil {
		w.idle.Remove(site.element)
	}
	site.gone = true
	return site
}

// change returns the Website that was not changed for longest, and another theme for it. It must be given back with changed.
// It returns nil when none exists or all are being changed.
func (w *websites) change() (site *website, theme string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	element := w.idle.Front()
	if element == nil {
		return nil, ""
	}
	site = w.idle.Remove(element).(*website)
	site.element = nil
	theme = site.theme
	for theme == site.theme && len(w.themes) > 1 {
		theme = w.themes[w.random.IntN(len(w.themes))]
	}
	return site, theme
}

// changed gives a Website back that has got the theme, or kept its own when the change failed. It returns false when the
// Website was deleted meanwhile.
func (w *websites) changed(site *website, theme string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	site.theme = theme
	if !site.gone {
		site.element = w.idle.PushBack(site)
	}
	return !site.gone
}
