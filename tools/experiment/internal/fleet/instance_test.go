package fleet

import (
	"os/exec"
	"testing"
	"time"
)

// TestCause: only an end that a fault explains is put down to it.
func TestCause(t *testing.T) {
	const exits, panics, killed9, terminated, succeeds = "exit 1", "exit 2", "kill -9 $$", "kill $$", "exit 0"
	healed := time.Unix(1_700_000_000, 0)
	for name, tc := range map[string]struct {
		fault string
		after time.Duration // the end, after the fault was over
		lasts bool          // it is not over
		how   string
		want  bool
	}{
		"killed":                         {fault: killed, how: killed9, want: true},
		"killed, and it was faster":      {fault: killed, how: exits},
		"killed by somebody else":        {how: killed9},
		"killed by somebody else, later": {fault: killed, after: time.Minute, how: killed9},
		"terminated":                     {fault: killed, how: terminated},
		"paused":                         {fault: paused, after: 5 * time.Second, how: exits, want: true},
		"paused, long ago":               {fault: paused, after: 16 * time.Second, how: exits},
		"paused, and it panics":          {fault: paused, how: panics},
		"paused, and it is done":         {fault: paused, how: succeeds},
		"paused, and it is killed":       {fault: paused, how: killed9},
		"a black hole":                   {fault: blackHole, lasts: true, after: time.Hour, how: exits, want: true},
		"a black hole, and it panics":    {fault: blackHole, lasts: true, how: panics},
		"cut":                            {fault: cut, how: exits},
		"cut, and it panics":             {fault: cut, how: panics},
	} {
		t.Run(name, func(t *testing.T) {
			i := &Instance{fault: tc.fault, until: healed}
			if tc.lasts {
				i.until = time.Time{}
			}
			if fault, ok := i.cause(healed.Add(tc.after), exec.CommandContext(t.Context(), "sh", "-c", tc.how).Run()); ok != tc.want || (ok && fault != tc.fault) {
				t.Errorf("put down to %q, %v; want %v", fault, ok, tc.want)
			}
		})
	}
}
