package fleet

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
)

// TestStop: an instance is scraped until it has ended, and one that does not end when it is told to is a problem of the run.
func TestStop(t *testing.T) {
	for name, tc := range map[string]struct {
		program  string
		grace    time.Duration
		problems []string
	}{
		"in good order": {program: `trap 'exit 0' TERM; echo > "$0"; while :; do sleep 0.01; done`, grace: time.Minute},
		"never": {
			program: `trap "" TERM; echo > "$0"; while :; do sleep 0.01; done`, grace: 100 * time.Millisecond,
			problems: []string{"stop operator-0: still running 100ms after SIGTERM, killed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var i *Instance
			var targets, early int
			f := &Fleet{group: procs.NewGroup(), cfg: Config{StopGrace: tc.grace, OnTargets: func(all []prom.Target) {
				if targets = len(all); targets == 0 && i.running().Running() {
					early++
				}
			}}}
			defer f.group.Stop(0)
			trapped := filepath.Join(dir, "trapped")
			i = &Instance{Name: "operator-0", fleet: f, gone: make(chan struct{}), spec: procs.Spec{
				Name: "operator-0", Path: "/bin/sh", Args: []string{"-c", tc.program, trapped}, LogFile: filepath.Join(dir, "log"),
			}}
			if err := i.start(); err != nil {
				t.Fatal(err)
			}
			f.instances = []*Instance{i}
			if err := i.running().Ready(t.Context(), func(context.Context) error { _, err := os.Stat(trapped); return err }); err != nil {
				t.Fatal(err)
			}
			f.tellTargets()
			f.Stop(i)
			if early > 0 || targets > 0 || i.running().Running() {
				t.Errorf("%d times not scraped although it ran, %d targets in the end; running: %v", early, targets, i.running().Running())
			}
			if diff := cmp.Diff(tc.problems, f.Problems()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}
