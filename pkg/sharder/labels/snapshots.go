package labels

import "github.com/clusterring/clusterring/pkg/sharder/snapshot"

// Snapshots are the rules of the rings in a cache of snapshots.
type Snapshots struct{ Cache *snapshot.Cache }

// Get returns the rule of a ring without waiting, false if the replica does not know it.
func (s Snapshots) Get(ring string) (*Rule, bool) {
	r, ok := s.Cache.Get(ring)
	if !ok {
		return nil, false
	}
	return RuleOf(r), true
}

// List returns the rules of all rings but those about whose resources the API server has not answered yet: an owner must
// not get its label before children of which nothing is known.
func (s Snapshots) List() map[string]*Rule {
	out := map[string]*Rule{}
	for name, r := range s.Cache.List() {
		if !r.Pending() {
			out[name] = RuleOf(r)
		}
	}
	return out
}

// Subscribe calls f after changes, until stop is called. f does not block.
func (s Snapshots) Subscribe(f func(ring string)) (stop func()) { return s.Cache.Subscribe(f) }
