//go:debug randseednop=0

package sim

import (
	"flag"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand"
	"os"
	"regexp"
	"slices"
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
	schedulesFlag = flag.Int("sim.n", 30, "how many schedules to run, of all kinds in turn")
	firstFlag     = flag.Uint64("sim.first", 1, "the seed of the first schedule")
	planFlag      = flag.String("sim.plan", "", "run schedules of this kind only")
	untilFlag     = flag.String("sim.until", "", "end with the first schedule that has a finding like this expression, and think nothing of others")
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

// planOf returns the plan of a seed, and its kind: what is asked for, or all in turn.
func planOf(t *testing.T, seed uint64) (kind string, plan Plan) {
	t.Helper()
	kind = *planFlag
	if kind == "" {
		kinds := slices.Sorted(maps.Keys(plans))
		kind = kinds[seed%uint64(len(kinds))]
	}
	f, ok := plans[kind]
	if !ok {
		t.Fatalf("there are no schedules of the kind %q", kind)
	}
	return kind, f(seed)
}

// TestSchedules runs one schedule after the other, each from a seed. With -sim.for it does so for hours.
func TestSchedules(t *testing.T) {
	if *seedFlag != 0 {
		_, plan := planOf(t, *seedFlag)
		result := simulate(t, plan, Options{Log: 1 << 20, Verbosity: *verbosityFlag})
		t.Logf("%s\n%s", plan, result.Log)
		for _, f := range result.Findings {
			t.Error(f)
		}
		return
	}
	total, said := newTotals(), time.Now()
	for i := 0; *forFlag > 0 && time.Since(total.began) < *forFlag || *forFlag == 0 && i < *schedulesFlag; i++ {
		kind, plan := planOf(t, *firstFlag+uint64(i))
		t.Run(fmt.Sprint(kind, "/", plan.Seed), func(t *testing.T) {
			result := simulate(t, plan, Options{Log: 500, Verbosity: 0})
			total.add(kind, plan, result)
			if *untilFlag != "" {
				expect(t, result.Findings)
			} else if len(result.Findings) > 0 {
				fmt.Fprintf(os.Stderr, "%s: %v\n", replay(kind, plan), result.Findings[0])
				if *forFlag > 0 { // hours may pass until t says so
					fmt.Fprintf(os.Stderr, "%s\n%s\n", plan, result.Log)
				}
				report(t, kind, plan, result)
			}
		})
		if *untilFlag != "" && t.Failed() {
			return
		}
		if time.Since(said) > time.Minute {
			said = time.Now()
			fmt.Fprintln(os.Stderr, total)
		}
	}
	t.Logf("\n%s", total.summary())
	if *forFlag > 0 {
		fmt.Fprint(os.Stderr, total.summary())
	}
	if *untilFlag != "" {
		expect(t, total.findings())
		return
	}
	for _, f := range total.findings() {
		t.Error(f)
	}
}

// expect reports what -sim.until asks for.
func expect(t *testing.T, findings []Finding) {
	t.Helper()
	wanted := regexp.MustCompile(*untilFlag)
	for _, f := range findings {
		if wanted.MatchString(f.String()) {
			t.Error(f)
		}
	}
}

// report says what failed, and shows the shortest plan that it can find.
func report(t *testing.T, kind string, plan Plan, result Result) {
	t.Helper()
	for _, f := range result.Findings {
		t.Errorf("%v; replay with %s", f, replay(kind, plan))
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
	t.Logf("what seems to be needed of it:\n%s\n%s", short, log)
}
