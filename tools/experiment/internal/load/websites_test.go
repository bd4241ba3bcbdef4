package load

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWebsitesAreChangedInTurn(t *testing.T) {
	w := newWebsites(1, []string{"a", "b", "c"})
	var names []string
	for range 5 {
		site := w.create()
		names = append(names, site.name)
		w.add(site)
	}
	var changed []string
	for range 10 {
		site, theme := w.change()
		if theme == site.theme {
			t.Errorf("%s gets the theme that it has", site.name)
		}
		changed = append(changed, site.name)
		if !w.changed(site, theme) {
			t.Errorf("%s is gone", site.name)
		}
	}
	if diff := cmp.Diff(append(names, names...), changed); diff != "" {
		t.Errorf("changed (-want +got):\n%s", diff)
	}
}

func TestWebsitesAreDeletedOnce(t *testing.T) {
	const n = 100
	w := newWebsites(1, []string{"a"})
	for range n {
		w.add(w.create())
	}
	held, _ := w.change()
	deleted := map[string]bool{}
	for site := w.remove(); site != nil; site = w.remove() {
		if deleted[site.name] {
			t.Errorf("%s is deleted twice", site.name)
		}
		deleted[site.name] = true
		if got := w.count() + len(deleted); got != n {
			t.Fatalf("%d Websites", got)
		}
	}
	if len(deleted) != n {
		t.Errorf("%d deleted, want %d", len(deleted), n)
	}
	if w.changed(held, "a") {
		t.Error("a Website that was deleted while it was changed is still there")
	}
	if site, _ := w.change(); site != nil {
		t.Errorf("%s can be changed", site.name)
	}
}

func TestSeed(t *testing.T) {
	names := func(seed uint64) (names []string) {
		w := newWebsites(seed, []string{"a", "b"})
		for range 1000 {
			site := w.create()
			names = append(names, site.name+" "+site.theme)
		}
		return names
	}
	if diff := cmp.Diff(names(1), names(1)); diff != "" {
		t.Errorf("the same seed gives others:\n%s", diff)
	}
	if cmp.Equal(names(1), names(2)) {
		t.Error("the seed does not matter")
	}
}
