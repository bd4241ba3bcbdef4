package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
)

const (
	// DefaultDuration is how long a Lease is valid after a renewal, unless the Config says otherwise.
	DefaultDuration = 15 * time.Second
	// DefaultShutdownTimeout is how long the Lease is renewed after Run was told to stop, while the work is still going on.
	DefaultShutdownTimeout = 30 * time.Second
)

// Config says which Lease to hold, as whom, and for how long. The zero value of an optional field means its default.
type Config struct {
	// Client reaches the Lease. It should be a client of its own, with its own connection and no rate limit to share:
	// renewals must not queue behind other requests. Required.
	Client coordinationv1client.LeasesGetter
	// Namespace and Name are those of the Lease. Required.
	Namespace, Name string
	// Identity is written as the holder. No two processes may have the same one, ever; if they do, the older one stops as
	// soon as it notices. Required.
	Identity string
	// Labels are set on the Lease when it is acquired and renewed; other labels are left alone. A Lease that somebody holds
	// and that carries one of these keys with another value is not ours to wait for: Run then returns an error.
	Labels map[string]string
	// Annotations returns annotations that are set on the Lease whenever it is written; others are left alone. It is called
	// right before each attempt, from one goroutine at a time, and must not block. Write writes them at once. Optional.
	Annotations func() map[string]string
	// Healthy reports why the process cannot do its work, or nil. While it returns an error, the Lease is not renewed: it
	// is lost after RenewDeadline, and others take over. It must not block. Optional.
	Healthy func() error
	// Problem is the annotation that says what Healthy last returned, in a Lease that is released because of that. The next
	// renewal removes it. Optional.
	Problem string
	// Released is the annotation that names the holder who released the Lease. A free Lease that was held and has none may be one
	// that somebody else has emptied: it is acquired after its duration only. Optional.
	Released string
	// Requests is called with the context of each request that may change something and that the fence lets pass. The func
	// that it returns is called once: with the zero time when the request has been answered, or was not sent at all;
	// else, when there will be no answer, with the time until which it may still be executed. Optional.
	Requests func(ctx context.Context) (ended func(until time.Time))

	// Duration is how long others wait after a renewal before they may take the Lease. It is rounded up to whole seconds,
	// because a Lease knows nothing finer, and both sides must go by the same figure. Default: 15s.
	Duration time.Duration
	// RenewDeadline is how long renewing may fail before the work is stopped. It must be shorter than Duration.
	// Default: two thirds of Duration.
	RenewDeadline time.Duration
	// RetryPeriod is the time between two renewals, and about half the time between two attempts to acquire.
	// Default: a fifth of RenewDeadline.
	RetryPeriod time.Duration
	// ShutdownTimeout is how long the Lease is still renewed after the context given to Run has ended, while the function
	// has not returned. Afterwards the Lease is lost: the fence closes, and others take over. Default: 30s.
	ShutdownTimeout time.Duration

	// Registerer takes the metrics of the Lease. Optional.
	Registerer prometheus.Registerer
}

// withDefaults returns the config with the defaults filled in.
func (c Config) withDefaults() Config {
	if c.Duration == 0 {
		c.Duration = DefaultDuration
	}
	if rest := c.Duration % time.Second; rest > 0 {
		c.Duration += time.Second - rest
	}
	if c.RenewDeadline == 0 {
		c.RenewDeadline = c.Duration * 2 / 3
	}
	if c.RetryPeriod == 0 {
		c.RetryPeriod = c.RenewDeadline / 5
	}
	if c.ShutdownTimeout == 0 {
		c.ShutdownTimeout = DefaultShutdownTimeout
	}
	return c
}

// validate returns all problems of a config that has its defaults.
func (c Config) validate() error {
	var errs []error
	if c.Client == nil {
		errs = append(errs, errors.New("Client is required"))
	}
	for _, field := range []struct{ name, value string }{
		{"Namespace", c.Namespace}, {"Name", c.Name}, {"Identity", c.Identity},
	} {
		if field.value == "" {
			errs = append(errs, fmt.Errorf("%s is required", field.name))
		}
	}
	if c.Duration < 0 {
		errs = append(errs, fmt.Errorf("Duration %s is negative", c.Duration))
	}
	if c.RenewDeadline < 0 || c.RenewDeadline >= c.Duration {
		errs = append(errs, fmt.Errorf("RenewDeadline %s must be shorter than Duration %s", c.RenewDeadline, c.Duration))
	}
	// The elector asks for the same.
	if longest := time.Duration(leaderelection.JitterFactor * float64(c.RetryPeriod)); c.RetryPeriod < 0 || longest >= c.RenewDeadline {
		errs = append(errs, fmt.Errorf("RetryPeriod %s, with %.0f%% of jitter, must be shorter than RenewDeadline %s",
			c.RetryPeriod, (leaderelection.JitterFactor-1)*100, c.RenewDeadline))
	}
	if c.ShutdownTimeout < 0 {
		errs = append(errs, fmt.Errorf("ShutdownTimeout %s is negative", c.ShutdownTimeout))
	}
	return errors.Join(errs...)
}

// attemptTimeout bounds one request to the API server, so that a request that hangs leaves time for another one.
func (c Config) attemptTimeout() time.Duration { return c.RenewDeadline / 2 }
