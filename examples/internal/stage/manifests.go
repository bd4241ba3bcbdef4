package stage

import (
	"path/filepath"

	"github.com/clusterring/clusterring/internal/manifests"
)

// Apply applies manifests, given by their paths from the root of the repository, in their order.
func (s *Stage) Apply(paths ...string) {
	s.t.Helper()
	files := make([]string, len(paths))
	for i, path := range paths {
		files[i] = filepath.Join(s.root, path)
	}
	objects, err := manifests.Read(nil, files...)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := manifests.Apply(s.t.Context(), s.cluster.Config(), "examples", objects); err != nil {
		s.t.Fatal(err)
	}
}
