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
	"the sharder trusts the times that others wrote": {
		file:      "internal/old/sharder/leases/tracker.go",
		old:       "t.seen[key] = observation{renewal: renewal, since: t.clock.Now()}",
		new:       "t.seen[key] = observation{renewal: renewal, since: lease.Spec.RenewTime.Time}",
		guarantee: "G1", first: 1, within: 40, plan: "mixed",
	},
	"the sharder takes a Lease before it has run out": {
		file:      "internal/old/membership/state.go",
		old:       "expires := observed.Add(duration)",
		new:       "expires := observed.Add(duration / 3)",
		guarantee: "G1", first: 1, within: 40, plan: "mixed",
	},
	"objects are taken from a shard that is gone without holding its Lease": {
		file:      "internal/old/sharder/assignment/evacuationpass.go",
		old:       "if err := p.hold(ctx); err != nil {",
		new:       "if err := ctx.Err(); err != nil {",
		guarantee: "G1", first: 1, within: 40, plan: "mixed",
	},
	"the sharder makes a Lease that is gone without waiting for who held it": {
		file:      "internal/old/sharder/assignment/hold.go",
		old:       "a.Since.Add(duration + membership.Grace(duration, e.cfg.Grace))",
		new:       "a.Since.Add(0 * membership.Grace(duration, e.cfg.Grace))",
		guarantee: "G1", first: 1, within: 40, plan: "mixed",
	},
	"the sharder does not wait the grace for who held a Lease that is gone": {
		file:      "internal/old/sharder/assignment/hold.go",
		old:       "a.Since.Add(duration + membership.Grace(duration, e.cfg.Grace))",
		new:       "a.Since.Add(duration)",
		guarantee: "G1", first: 1, within: 40, plan: "unlike clocks",
	},
	"objects of a live shard are moved without asking it": {
		file:      "internal/old/sharder/placement/placement.go",
		old:       "return Decision{Action: Drain, Shard: home}",
		new:       "return Decision{Action: Assign, Shard: home}",
		guarantee: "G1", first: 1, within: 20, plan: "mixed",
	},
	"a shard lets go of an object that it may not have any more": {
		file:      "internal/old/shard/handover/patch.go",
		old:       `"resourceVersion": obj.GetResourceVersion(),`,
		new:       "",
		guarantee: "G1", first: 1, within: 10, plan: "slow shards",
	},
	"a shard lets go of a child while its owner is there": {
		file:      "internal/old/shard/handover/controlled.go",
		old:       "if here, known := c.ownerHere(obj); here || !known {",
		new:       "if _, known := c.ownerHere(obj); !known {",
		guarantee: "G4", first: 30, within: 40, plan: "mixed",
	},
	"the fence looks at the Lease when a request is made, and not when it is sent": {
		file:      "pkg/shard/lease/fence.go",
		old:       "if err := b.check(); err != nil {",
		new:       "if err := error(nil); err != nil {",
		guarantee: "G1", first: 1, within: 20, plan: "pauses",
	},
	"a shard relies on a timer to tell it that its Lease has run out": {
		file:      "pkg/shard/lease/lease.go",
		old:       "return l.held && l.over.Err() == nil && !l.deadline.reached(l.clock())",
		new:       "return l.held && l.over.Err() == nil",
		guarantee: "G1", first: 1, within: 20, plan: "pauses",
	},
	"admission makes the labels of an object anew": {
		file:      "internal/old/sharder/admission/patch.go",
		old:       "if len(object.Labels) == 0 {",
		new:       "if len(object.Labels) >= 0 {",
		guarantee: "G3", first: 1, within: 10, plan: "mixed",
	},
	"nobody gives objects to shards that admission has missed": {
		file:      "internal/old/sharder/unassigned/watcher.go",
		old:       "if again := w.heal(ctx, s.object); !again {",
		new:       "if again := false; !again {",
		guarantee: "G2", first: 1, within: 40, plan: "without admission",
	},
	"a change of the ring starts no scan": {
		file:      "internal/old/sharder/assignment/changes.go",
		old:       "w.scans.Add(name)",
		new:       "",
		guarantee: "G2", first: 1, within: 40, plan: "lost leads",
	},
	"a shard that was evacuated is not looked at again": {
		file:      "internal/old/sharder/assignment/evacuation.go",
		old:       "rechecks = []time.Duration{5 * time.Second, 30 * time.Second}",
		new:       "rechecks = []time.Duration{}",
		guarantee: "G2", first: 1, within: 40, plan: "without audits",
	},
	"a namespace that comes to a ring starts no audit": {
		file:      "internal/old/sharder/assignment/controller.go",
		old:       "w.scans.AddAfter(name, c.delayOfExtraAudit(name))",
		new:       "_ = name",
		guarantee: "G2", first: 1, within: 40, plan: "without audits",
	},
	"an object that admission has missed starts no audit": {
		file:      "internal/old/sharder/assignment/controller.go",
		old:       "w.scans.AddAfter(ring, c.delayOfExtraAudit(ring))",
		new:       "",
		guarantee: "G2", first: 1, within: 40, plan: "without admission",
	},
	"objects of a shard that is gone go anywhere at first": {
		file:      "internal/old/sharder/placement/placement.go",
		old:       "\treturn v.eligible.Owner(key)\n",
		new:       "\treturn v.eligible.Owner(key + key)\n",
		guarantee: "G5", test: "^TestMovement$/^join_and_crash$",
	},
	"the sharder keeps the objects of an audit": {
		file:      "internal/old/sharder/assignment/scan.go",
		old:       "d := sc.View.Main(scope.MainKey(r, object),",
		new:       "context.AfterFunc(ctx, func() { _ = object.Annotations })\n\t\td := sc.View.Main(scope.MainKey(r, object),",
		guarantee: "G6", test: "^TestMemory$/^sound$",
	},
	"a Lease is given back without writing to what is left": {
		file:      "internal/old/sharder/assignment/evacuation.go",
		old:       "if err := e.overtake(ctx); err != nil {",
		new:       "if err := ctx.Err(); err != nil {",
		guarantee: "G1", first: 1, within: 20, plan: "late requests",
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
