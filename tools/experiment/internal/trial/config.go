package trial

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

// Config says which run.
type Config struct {
	// Scenario is what is done, and how much of it. Required.
	Scenario scenario.Scenario
	// Setup is the operator's. Required.
	Setup string
	// Repeat says which repetition it is, from 1 on. Seed decides all random choices; a repetition should have another one.
	Repeat int
	Seed   uint64

	// Dir gets everything that the run leaves behind. It must be empty, if it exists: what another run has left there would
	// become a part of this one. Required.
	Dir string
	// Bin has the programs, Repo is the root of the repository, for its manifests; Self is this program, which is also the
	// load generator. Required.
	Bin, Repo, Self string

	// Kubeconfig leads to an existing control plane. Default: one is started.
	Kubeconfig string
	// WebhookHost is the address of this machine at which that control plane reaches the sharders. Default: 127.0.0.1.
	WebhookHost string
	// Prometheus is the URL of a server that measures. Default: one in this process. It finds what to scrape at
	// http://<Listen>/targets.
	Prometheus, Listen string

	// Verbosity is the level of the instances' logs.
	Verbosity int
	// Keep leaves the control plane and the instances running until ctx ends, and the records where they are.
	Keep bool
	// KeepSeries leaves the time series in Dir/tsdb, for prom.Open.
	KeepSeries bool
	// Out is told how the run goes. Required.
	Out io.Writer
	// Patience is how long everything may take to settle after the load. Default: 2 minutes.
	Patience time.Duration
}

// A ConfigError says what cannot be carried out. Nothing was started.
type ConfigError struct{ error }

// Unwrap returns the problems.
func (e ConfigError) Unwrap() error { return e.error }

func (c *Config) complete() error {
	errs := []error{c.Scenario.Validate()}
	if !slices.Contains(scenario.Setups, c.Setup) {
		errs = append(errs, fmt.Errorf("unknown setup %q: there are %v", c.Setup, scenario.Setups))
	}
	if c.Dir == "" || c.Self == "" || c.Out == nil {
		errs = append(errs, errors.New("Dir, Self and Out are required"))
	}
	if left, err := os.ReadDir(c.Dir); err == nil && len(left) > 0 {
		errs = append(errs, fmt.Errorf("%s is not empty", c.Dir))
	}
	programs := []string{"webhosting-operator"}
	if c.Setup == scenario.Ring {
		programs = append(programs, "sharder")
	}
	if c.Kubeconfig == "" {
		programs = append(programs, "devcluster")
	}
	for _, program := range programs {
		if _, err := os.Stat(filepath.Join(c.Bin, program)); err != nil {
			errs = append(errs, fmt.Errorf("%w; 'make build' builds it", err))
		}
	}
	if _, err := os.Stat(filepath.Join(c.Repo, "examples", "webhosting", "config")); err != nil {
		errs = append(errs, fmt.Errorf("manifests: %w", err))
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:0")
	c.Patience = cmp.Or(c.Patience, 2*time.Minute)
	if err := errors.Join(errs...); err != nil {
		return ConfigError{err}
	}
	return nil
}

// scrapeInterval is how often processes are asked for their metrics. The thesis' 10 s are too long to tell when a short run
// reached its limit, or how long an outage was. Where nothing but the whole run counts, it is the longest of which three fit
// into the window of a rate, because every answer costs an operator something for each of its Websites.
func (c *Config) scrapeInterval() time.Duration {
	const rare, window = 5 * time.Second, 15 * time.Second
	if s := c.Scenario; s.Name == scenario.Basic && s.Duration >= 5*window {
		return rare
	}
	return min(max(c.Scenario.Duration/150, time.Second), 10*time.Second).Round(time.Second)
}
