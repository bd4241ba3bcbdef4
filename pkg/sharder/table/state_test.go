package table

import (
	"testing"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestRetries: a write that is refused for ever is tried for ever, and must not take memory each time.
func TestRetries(t *testing.T) {
	var s state
	for revision := range int64(2) {
		for range 1000 {
			s.unanswered(&v1alpha1.Table{Ring: "r", Revision: revision})
		}
	}
	if len(s.sent) != 2 || !s.unsure {
		t.Errorf("%d tables are kept, want 2", len(s.sent))
	}
}
