//go:debug randseednop=0

package sim

import (
	"flag"
	"fmt"
	"io"
	mathrand "math/rand"
	"os"
	"testing"
	"testing/synctest"
	"time"

	utilrand "k8s.io/apimachinery/pkg/util/rand"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"
)

var (
	seedFlag      = flag.Uint64("sim.seed", 0, "run the schedule of this seed only, and show what happens")
	verbosityFlag = flag.Int("sim.v", -1, "with -sim.seed: verbosity of what the processes log")
	schedulesFlag = flag.Int("sim.n", 30, "how many schedules to run")
	firstFlag     = flag.Uint64("sim.first", 1, "the seed of the first schedule")
	planFlag      = flag.String("sim.plan", "mixed", "the kind of schedules")
	untilFlag     = flag.String("sim.until", "", "end with the first schedule that breaks this guarantee, and think nothing of others")
	forFlag       = flag.Duration("sim.for", 0, "run schedules for so long, whatever -sim.n says")
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The others wait longer the less time has passed since the last error, which may be years ahead in another bubble.
	utilruntime.ErrorHandlers = utilruntime.ErrorHandlers[:1]
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

// simulate runs a plan in a bubble of its own.
func simulate(t *testing.T, plan Plan, options Options) (result Result) {
	t.Helper()
	// What client-go leaves to chance comes from the seed, too.
	//lint:ignore SA1019 there is no other way to its global source
	mathrand.Seed(int64(plan.Seed))
	utilrand.Seed(int64(plan.Seed))
	synctest.Test(t, func(t *testing.T) {
		var err error
		if result, err = Run(plan, options); err != nil {
			t.Fatal(err)
		}
	})
	return result
}

// totals sums up what schedules came to.
type totals struct {
	began                       time.Time
	schedules, faults, failures int
	virtual, settled            time.Duration
	syncs, moves                int
	departures, splits          int
}

func (s *totals) add(p Plan, r Result) {
	s.schedules, s.faults, s.syncs, s.moves = s.schedules+1, s.faults+len(p.Actions), s.syncs+r.Syncs, s.moves+r.Moves
	s.departures, s.splits = s.departures+r.Departures, s.splits+r.Splits
	s.virtual, s.settled = s.virtual+r.Virtual, max(s.settled, r.Settled)
	if len(r.Findings) > 0 {
		s.failures++
	}
}

func (s *totals) String() string {
	return fmt.Sprintf("%d schedules with %d faults, %s of virtual time in %s; %d syncs, %d moves, %d of %d families split for a moment; well again after %s at most; G1 to G4 checked, %d schedules failed",
		s.schedules, s.faults, s.virtual.Round(time.Second), time.Since(s.began).Round(time.Second), s.syncs, s.moves, s.splits, s.departures, s.settled, s.failures)
}

// TestSchedules runs one schedule after the other, each from a seed. With -sim.for it does so for hours.
func TestSchedules(t *testing.T) {
	if *seedFlag != 0 {
		plan := plans[*planFlag](*seedFlag)
		result := simulate(t, plan, Options{Log: 1 << 20, Verbosity: *verbosityFlag})
		t.Logf("%s\n%s", plan, result.Log)
		for _, f := range result.Findings {
			t.Error(f)
		}
		return
	}
	sum := &totals{began: time.Now()}
	said := time.Now()
	for i := 0; *forFlag > 0 && time.Since(sum.began) < *forFlag || *forFlag == 0 && i < *schedulesFlag; i++ {
		plan := plans[*planFlag](*firstFlag + uint64(i))
		t.Run(fmt.Sprint(plan.Seed), func(t *testing.T) {
			result := simulate(t, plan, Options{Log: 500, Verbosity: 0})
			sum.add(plan, result)
			if *untilFlag != "" {
				for _, f := range result.Findings {
					if f.Guarantee == *untilFlag {
						t.Errorf("seed %d: %s", plan.Seed, f)
					}
				}
			} else if len(result.Findings) > 0 {
				fmt.Fprintf(os.Stderr, "seed %d: %v\n", plan.Seed, result.Findings[0])
				if *forFlag > 0 { // hours may pass until t says so
					fmt.Fprintf(os.Stderr, "%s\n%s\n", plan, result.Log)
				}
				report(t, plan, result)
			}
		})
		if *untilFlag != "" && t.Failed() {
			return
		}
		if time.Since(said) > time.Minute {
			said = time.Now()
			fmt.Fprintln(os.Stderr, sum)
		}
	}
	t.Log(sum)
	if *forFlag > 0 {
		fmt.Fprintln(os.Stderr, sum)
	}
	if sum.syncs < 10*sum.schedules || sum.moves < sum.schedules {
		t.Error("too little happened to prove anything")
	}
	if s := sum; s.departures > 500 && s.splits*20 > s.departures {
		t.Errorf("G4: %d of %d objects have left a child behind", s.splits, s.departures)
	}
}

// TestKinds runs a few schedules of each kind.
func TestKinds(t *testing.T) {
	for kind, plan := range plans {
		for seed := range uint64(3) {
			t.Run(fmt.Sprint(kind, "/", seed+1), func(t *testing.T) {
				p := plan(seed + 1)
				if result := simulate(t, p, Options{Log: 500, Verbosity: 0}); len(result.Findings) > 0 {
					report(t, p, result)
				}
			})
		}
	}
}

// report says what failed, and shows the shortest plan that it can find.
func report(t *testing.T, plan Plan, result Result) {
	t.Helper()
	for _, f := range result.Findings {
		t.Error(f)
	}
	t.Logf("%s\n%s", plan, result.Log)
	log := ""
	short := Simplify(plan, func(p Plan) bool {
		result := simulate(t, p, Options{Log: 200, Verbosity: -1})
		if len(result.Findings) > 0 {
			log = result.Log
		}
		return len(result.Findings) > 0
	}, 60)
	t.Logf("replay with -sim.seed %d; what seems to be needed of it:\n%s\n%s", plan.Seed, short, log)
}
