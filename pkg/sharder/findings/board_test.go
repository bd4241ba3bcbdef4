package findings_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/pkg/sharder/findings"
)

func TestBoard(t *testing.T) {
	var b findings.Board
	var woken []string
	stop := b.Subscribe(func(ring string) { woken = append(woken, ring) })
	bad := findings.Finding{Type: "B", Reason: "Bad", Message: "It is bad."}
	good := findings.Finding{Type: "A", OK: true, Reason: "Good"}
	b.Set("r", bad)
	b.Set("r", bad) // nothing new
	b.Set("r", good)
	b.Set("other", bad)
	stop()
	b.Set("r", findings.Finding{Type: "B", OK: true})
	if diff := cmp.Diff([]string{"r", "r", "other"}, woken); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]findings.Finding{good, {Type: "B", OK: true}}, b.Get("r")); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	b.Drop("r")
	if got := b.Get("r"); len(got) != 0 {
		t.Errorf("after Drop: %v", got)
	}
}
