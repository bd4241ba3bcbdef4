package prom

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/scrape"
	"k8s.io/klog/v2"
)

// reloadInterval is how long new targets wait at most before they are taken up.
const reloadInterval = 100 * time.Millisecond

// Config says how an Embedded works.
type Config struct {
	// Dir is where the samples go. It is created if need be. Required.
	Dir string
	// Interval between two scrapes of a target, and how long a scrape may take. Default: 1 s.
	Interval time.Duration
}

// Embedded is a Store that fills itself by scraping.
type Embedded struct {
	*Store

	interval time.Duration
	manager  *scrape.Manager
	changes  chan map[string][]*targetgroup.Group
	ended    chan struct{}
	close    sync.Once

	mu sync.Mutex // one change at a time
}

// Start starts an Embedded without targets. The caller must Close it. What is wrong in it while it runs goes to the logger
// in ctx.
func Start(ctx context.Context, cfg Config) (*Embedded, error) {
	var errs []error
	if cfg.Dir == "" {
		errs = append(errs, errors.New("Dir is required"))
	}
	if cfg.Interval < 0 {
		errs = append(errs, fmt.Errorf("Interval must not be negative, not %s", cfg.Interval))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.Interval = cmp.Or(cfg.Interval, time.Second)
	logger := slog.New(problems{logr.ToSlogHandler(klog.FromContext(ctx))})
	store, err := open(cfg.Dir, logger)
	if err != nil {
		return nil, err
	}
	manager, err := scrape.NewManager(&scrape.Options{DiscoveryReloadInterval: model.Duration(reloadInterval)},
		logger, nil, store.db, nil, prometheus.NewRegistry())
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	e := &Embedded{
		Store: store, interval: cfg.Interval, manager: manager,
		changes: make(chan map[string][]*targetgroup.Group), ended: make(chan struct{}),
	}
	go func() {
		defer close(e.ended)
		_ = manager.Run(e.changes) // returns nil, after Stop
	}()
	return e, nil
}

// SetTargets replaces all targets by these. Targets that stay are not disturbed; the series of those that go end. The first
// scrape of a new target happens within its interval.
func (e *Embedded) SetTargets(targets []Target) error {
	var errs []error
	for _, t := range targets {
		errs = append(errs, t.validate())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	pools := poolsOf(targets)
	cfg, err := scrapeConfig(pools, e.interval)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.manager.ApplyConfig(cfg); err != nil {
		return err
	}
	select {
	case e.changes <- groups(pools, e.interval):
		return nil
	case <-e.ended:
		return errors.New("set targets: closed")
	}
}

// Status is how a target was found when it was last scraped.
type Status struct {
	Job, Instance string
	Scraped       bool // at all
	Err           error
}

// Statuses returns the state of all targets, ordered by job and instance.
func (e *Embedded) Statuses() []Status {
	var all []Status
	for _, targets := range e.manager.TargetsActive() {
		for _, t := range targets {
			all = append(all, Status{
				Job: t.GetValue(model.JobLabel), Instance: t.GetValue(model.InstanceLabel),
				Scraped: t.Health() != scrape.HealthUnknown, Err: t.LastError(),
			})
		}
	}
	slices.SortFunc(all, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Instance, b.Instance))
	})
	return all
}

// Close ends the scraping and closes the database. What is in it stays. Close may be called more than once; the database is
// closed by the first call.
func (e *Embedded) Close() (err error) {
	e.close.Do(func() {
		e.manager.Stop()
		<-e.ended
		err = e.Store.Close()
	})
	return err
}

// problems lets warnings and errors through. That a target does not answer is neither: up says so.
type problems struct{ slog.Handler }

func (p problems) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && p.Handler.Enabled(ctx, level)
}

func (p problems) WithAttrs(attrs []slog.Attr) slog.Handler {
	return problems{p.Handler.WithAttrs(attrs)}
}
func (p problems) WithGroup(name string) slog.Handler { return problems{p.Handler.WithGroup(name)} }
