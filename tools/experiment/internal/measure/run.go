package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// runFile is the name of the file with the Run in its directory.
const runFile = "run.json"

// Run is one run of a scenario.
type Run struct {
	ID       string `json:"id"`
	Scenario string `json:"scenario"`
	Setup    string `json:"setup"` // of the operator: ring, singleton

	Instances  int     `json:"instances"`         // of the operator, in the beginning
	Workers    int     `json:"workers,omitempty"` // of each instance
	Repeat     int     `json:"repeat"`            // which repetition of the same run it is
	LoadFactor float64 `json:"loadFactor"`
	Idle       int     `json:"idle,omitempty"` // Websites that were there before the load, and that nobody touched
	Seed       uint64  `json:"seed,omitempty"`

	APILatency     time.Duration `json:"apiLatency"`     // emulated, there and back
	Duration       time.Duration `json:"duration"`       // of the load that was asked for
	LeaseDuration  time.Duration `json:"leaseDuration"`  // of the shards; 0: the operator's own
	ScrapeInterval time.Duration `json:"scrapeInterval"` // of the operators and sharders
	Machine        string        `json:"machine,omitempty"`
	Revision       string        `json:"revision,omitempty"` // of the programs, as the version control system knows it

	// ToTheLimit means that the run is to find the load at which the controller's objectives break.
	ToTheLimit bool `json:"toTheLimit,omitempty"`

	// Start and End of the load. Queries are evaluated for the time between them.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`

	// MembershipChanged means that instances came or went while there was load, or were made to stand still.
	MembershipChanged bool `json:"membershipChanged,omitempty"`

	Events   []Event   `json:"events,omitempty"`
	Outages  []Outage  `json:"outages,omitempty"`
	Verdicts []Verdict `json:"verdicts"`
	Checks   []Check   `json:"checks"`
}

// Event is something that happened on purpose in a run: an instance was killed, one joined.
type Event struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Outage is a time in which an objective was broken, looking back for a moment only. It fails nothing: what counts is the whole run.
type Outage struct {
	What     string        // of what the objective is
	From, To time.Duration // since the load began
	Worst    float64       // in the unit of the objective
}

// Verdict judges a measurement by its objective, or says that there is none to judge.
type Verdict struct {
	Name   string  `json:"name"`          // of the query
	SLO    float64 `json:"slo,omitempty"` // Value must not be above it
	Value  float64 `json:"value"`         // the worst of all series
	OK     bool    `json:"ok"`
	Detail string  `json:"detail,omitempty"`
	// Expected means that it is no failure of the run if the objective was broken: finding that out is what it is for.
	Expected bool `json:"expected,omitempty"`
}

// Check is something else than a measurement that must hold in a run.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}

// plain is a Run without methods, whose durations give way to text.
type plain Run

type runJSON struct {
	plain
	APILatency     duration `json:"apiLatency"`
	Duration       duration `json:"duration"`
	LeaseDuration  duration `json:"leaseDuration,omitempty"`
	ScrapeInterval duration `json:"scrapeInterval,omitempty"`
}

// MarshalJSON writes durations as text, such as "15m0s".
func (r Run) MarshalJSON() ([]byte, error) {
	return json.Marshal(runJSON{plain(r), duration(r.APILatency), duration(r.Duration), duration(r.LeaseDuration), duration(r.ScrapeInterval)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Run) UnmarshalJSON(data []byte) error {
	var read runJSON
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*r = Run(read.plain)
	r.APILatency, r.Duration = time.Duration(read.APILatency), time.Duration(read.Duration)
	r.LeaseDuration, r.ScrapeInterval = time.Duration(read.LeaseDuration), time.Duration(read.ScrapeInterval)
	return nil
}

// OK tells whether all objectives and checks held that should. Tolerated are the names of those that need not.
func (r *Run) OK(tolerated ...string) bool {
	for _, v := range r.Verdicts {
		if !v.OK && !v.Expected && !slices.Contains(tolerated, v.Name) {
			return false
		}
	}
	for _, c := range r.Checks {
		if !c.OK && !slices.Contains(tolerated, c.Name) {
			return false
		}
	}
	return true
}

// Write writes the run into its directory.
func (r *Run) Write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, runFile), append(data, '\n'), 0o644)
}

// ReadRun reads the run in a directory.
func ReadRun(dir string) (*Run, error) {
	file := filepath.Join(dir, runFile)
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Run{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	return r, nil
}
