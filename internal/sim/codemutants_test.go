package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// codeMutants are changes of one line each to the code under test. The line must be there exactly once, so that this list
// stays what it says.
var codeMutants = map[string]struct {
	file, old, new string
	guarantee      string
	first, within  int // seeds
	plan           string
	test           string // that fails, TestSchedules by default
}{
	"a slot is taken from a shard that says that it is at work there": {
		file:      "pkg/ring/next.go",
		old:       "released := row.Releasing.Minus(l.Holds.Slots)",
		new:       "released := row.Releasing.Minus(Slots{})",
		guarantee: "G1", first: 1, within: 40, plan: "rolling",
	},
	"a shard gives its word while it is at work": {
		file:      "pkg/ring/seat.go",
		old:       "return Holds{Revision: s.Revision, Slots: s.Own().Union(busy)}",
		new:       "return Holds{Revision: s.Revision, Slots: s.Own().Union(Slots{})}",
		guarantee: "G1", first: 1, within: 40, plan: "rolling",
	},
	"the fence looks at the Lease when a request is made, and not when it is sent": {
		file:      "pkg/shard/lease/fence.go",
		old:       "case !f.lease.Valid():",
		new:       "case false:",
		guarantee: "G1", first: 1, within: 40, plan: "pauses",
	},
	"a shard relies on a timer to tell it that its Lease has run out": {
		file:      "pkg/shard/lease/lease.go",
		old:       "return l.deadline.after(l.clock())",
		new:       "return time.Hour",
		guarantee: "G1", first: 1, within: 40, plan: "pauses",
	},
	"a Lease is deleted before it has run out": {
		file:      "pkg/sharder/leases/verdict.go",
		old:       "duration := seen.Duration",
		new:       "duration := seen.Duration / 2",
		guarantee: "G1", first: 1, within: 60, plan: "mixed",
	},
	"a table is founded without the words of the shards": {
		file:      "pkg/ring/next.go",
		old:       "slots := l.Holds.Slots.Intersect(v.universe()).Minus(seen)",
		new:       "slots := Slots{}.Intersect(v.universe()).Minus(seen)",
		guarantee: "G1", first: 1, within: 20, plan: "foundings",
	},
	"the sharder trusts the times that others wrote": {
		file:      "pkg/sharder/leases/tracker.go",
		old:       "n := observation{renewal: renewal, since: now,",
		new:       "n := observation{renewal: renewal, since: lease.Spec.RenewTime.Time,",
		guarantee: "G1", first: 1, within: 60, plan: "mixed",
	},
}

// TestCodeMutants compiles this package with one change of the code under test after the other, and runs schedules until
// one fails.
func TestCodeMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package several times")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range codeMutants {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(root, m.file)
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("%s has this line %d times: %s", m.file, n, m.old)
			}
			mutated, overlay := filepath.Join(t.TempDir(), "mutated.go"), filepath.Join(t.TempDir(), "overlay.json")
			replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: mutated}})
			if err != nil {
				t.Fatal(err)
			}
			for path, data := range map[string][]byte{mutated: []byte(strings.Replace(string(source), m.old, m.new, 1)), overlay: replace} {
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"test", "-overlay", overlay, "-run", m.test, "."}
			if m.test == "" {
				args = []string{"test", "-overlay", overlay, "-run", "^TestSchedules$", ".",
					"-sim.plan", m.plan, "-sim.until", m.guarantee, "-sim.first", fmt.Sprint(m.first), "-sim.n", fmt.Sprint(m.within)}
			}
			cmd := exec.CommandContext(t.Context(), "go", args...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err == nil {
				t.Fatalf("not caught within %d schedules of %q, or by %q", m.within, m.plan, m.test)
			}
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, ": "+m.guarantee+" at ") {
					t.Log(strings.TrimSpace(line))
					return
				}
			}
			t.Errorf("%v\n%s\n%s", err, out, &stderr)
		})
	}
}
