package sbom

import (
	"testing"

	"github.com/clusterring/clusterring/tools/release/internal/source"
)

// TestNoProgram: what a program is made of is tested with the sharder, when all of a release is.
func TestNoProgram(t *testing.T) {
	if _, err := New(source.Source{}, "", "sbom_test.go"); err == nil {
		t.Error("the bill of materials of a text is no error")
	}
}
