package measure

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// runFile is the name of the file with the Run in its directory.
const runFile = "run.json"

// Run is one run of a scenario.
type Run struct {
	ID       string `json:"id"`
	Scenario string `json:"scenario"`
	Setup    string `json:"setup"` // of the operator: ring, internal, singleton

	Instances  int     `json:"instances"`         // of the operator, in the beginning
	Workers    int     `json:"workers,omitempty"` // of each instance
	Repeat     int     `json:"repeat"`            // which repetition of the same run it is
	LoadFactor float64 `json:"loadFactor"`

	APILatency time.Duration `json:"apiLatency"` // emulated, there and back
	Duration   time.Duration `json:"duration"`   // of the load that was asked for
	Machine    string        `json:"machine,omitempty"`

	// ToTheLimit means that the run is to find the load at which the controller's objectives break.
	ToTheLimit bool `json:"toTheLimit,omitempty"`

	// Start and End of the load. Queries are evaluated for the time between them.
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`

	Events   []Event   `json:"events,omitempty"`
	Verdicts []Verdict `json:"verdicts"`
	Checks   []Check   `json:"checks"`
}

// Event is something that happened on purpose in a run: an instance was killed, one joined.
type Event struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
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

// MarshalJSON writes durations as text, such as "15m0s".
func (r Run) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plain
		APILatency string `json:"apiLatency"`
		Duration   string `json:"duration"`
	}{plain(r), r.APILatency.String(), r.Duration.String()})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Run) UnmarshalJSON(data []byte) error {
	var read struct {
		plain
		APILatency string `json:"apiLatency"`
		Duration   string `json:"duration"`
	}
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*r = Run(read.plain)
	for _, d := range []struct {
		text string
		to   *time.Duration
	}{{read.APILatency, &r.APILatency}, {read.Duration, &r.Duration}} {
		if d.text == "" {
			continue
		}
		parsed, err := time.ParseDuration(d.text)
		if err != nil {
			return err
		}
		*d.to = parsed
	}
	return nil
}

// OK tells whether all objectives and checks held that should.
func (r *Run) OK() bool {
	for _, v := range r.Verdicts {
		if !v.OK && !v.Expected {
			return false
		}
	}
	for _, c := range r.Checks {
		if !c.OK {
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
