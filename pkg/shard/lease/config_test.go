package lease

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigDefaults(t *testing.T) {
	type durations struct{ Duration, RenewDeadline, RetryPeriod time.Duration }
	for name, tc := range map[string]struct{ in, want durations }{
		"nothing set":    {want: durations{15 * time.Second, 10 * time.Second, 2 * time.Second}},
		"short":          {in: durations{Duration: 3 * time.Second}, want: durations{3 * time.Second, 2 * time.Second, 400 * time.Millisecond}},
		"half a second":  {in: durations{Duration: 500 * time.Millisecond}, want: durations{time.Second, time.Second * 2 / 3, time.Second * 2 / 15}},
		"rounded up":     {in: durations{Duration: 3001 * time.Millisecond}, want: durations{4 * time.Second, 8 * time.Second / 3, 8 * time.Second / 15}},
		"all of it set":  {in: durations{60 * time.Second, 20 * time.Second, time.Second}, want: durations{60 * time.Second, 20 * time.Second, time.Second}},
		"deadline alone": {in: durations{RenewDeadline: 5 * time.Second}, want: durations{15 * time.Second, 5 * time.Second, time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Duration: tc.in.Duration, RenewDeadline: tc.in.RenewDeadline, RetryPeriod: tc.in.RetryPeriod}.withDefaults()
			got := durations{cfg.Duration, cfg.RenewDeadline, cfg.RetryPeriod}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := cfg.validate(); strings.Contains(err.Error(), "Deadline") || strings.Contains(err.Error(), "Period") {
				t.Error(err)
			}
		})
	}
}

func TestConfigProblems(t *testing.T) {
	api := newFakeAPI()
	client, _ := api.client(t)
	good := Config{Client: client.CoordinationV1(), Namespace: "ns", Name: "a", Identity: "me"}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"good":              {change: func(*Config) {}},
		"empty":             {change: func(c *Config) { *c = Config{} }, want: []string{"Client", "Namespace", "Name", "Identity"}},
		"negative":          {change: func(c *Config) { c.Duration, c.ShutdownTimeout = -time.Second, -1 }, want: []string{"Duration", "ShutdownTimeout"}},
		"deadline too long": {change: func(c *Config) { c.RenewDeadline = 15 * time.Second }, want: []string{"RenewDeadline"}},
		"retry too long":    {change: func(c *Config) { c.RetryPeriod = 9 * time.Second }, want: []string{"RetryPeriod"}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			tc.change(&cfg)
			_, err := New(cfg)
			if (err == nil) != (len(tc.want) == 0) {
				t.Fatalf("error %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not name %s", err, want)
				}
			}
		})
	}
}
