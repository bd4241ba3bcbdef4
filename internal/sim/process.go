package sim

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/shard"
)

const (
	leaseDuration = 6 * time.Second
	renewDeadline = 4 * time.Second
	retryPeriod   = time.Second
)

// process is a process of a shard.
type process struct {
	*World
	*instance
	lib        *shard.Shard
	controller *controller
}

func (p *process) shard() string { return p.name }
func (p *process) acts() bool    { return !p.link.pace.paused() && p.lib.Valid() && !p.crashed.Load() }

// healthy is what a controller tells its shard that looks after its workers.
func (p *process) healthy() error {
	if p.hung.Load() {
		return errors.New("its workers hang")
	}
	return nil
}

// startShard starts a process of a shard.
func (w *World) startShard(name string, number int, c Conditions) (*instance, error) {
	i, ctx := w.newInstance(name, number, c)
	p := &process{World: w, instance: i}
	if offset := w.plan.Skew[name]; offset != 0 {
		p.link.clock = clock(offset)
	}
	pace := p.link.pace
	if rate, ok := w.plan.Rates[name]; ok {
		pace.rate = rate
	}
	if w.mutant.Slow {
		pace.rate = 0.5
	}
	// The elector cannot be given a clock. It is told of other times instead.
	lib, err := shard.New(shard.Config{
		Ring: ringName, RESTConfig: simapi.ConfigOver(p.link), Namespace: shardNamespace, Name: name, Identity: i.id(),
		Healthy: p.healthy, LeaseDuration: leaseDuration, RenewDeadline: min(pace.lasts(renewDeadline), leaseDuration-time.Millisecond),
		RetryPeriod: pace.lasts(retryPeriod), ShutdownTimeout: pace.lasts(10 * time.Second),
	})
	if err != nil {
		return nil, err
	}
	pace.setClock(lib)
	p.lib = lib
	p.link.sent = p.checkFence
	config := lib.RESTConfig()
	if w.mutant.Unfenced {
		config = simapi.ConfigOver(p.link)
	}
	p.link.arrives = func(sent parcel) {
		if k, ok := objectOf(sent.req, sent.body); ok && writes(sent.req) {
			w.ledger.arrives(p, k)
		}
	}
	if p.controller, err = newController(p, config); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.processes[name] = append(w.processes[name], p)
	w.mu.Unlock()
	go func() {
		defer close(i.ended)
		defer func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.processes[name] = slices.DeleteFunc(w.processes[name], func(other *process) bool { return other == p })
		}()
		defer i.cancel()
		defer p.controller.queue.ShutDown() // also if it never runs
		err := lib.Run(ctx, p.controller.run)
		w.say("%s has ended: %v", i.id(), err)
	}()
	return i, nil
}

// checkFence finds writes to objects that leave a process which does not hold its Lease.
func (p *process) checkFence(req *http.Request, _ []byte) {
	if writes(req) && !strings.Contains(req.URL.Path, "/leases") && !p.crashed.Load() && !p.lib.Valid() {
		p.add("G1", "%s sends %s %s without holding its Lease", p.id(), req.Method, req.URL.Path)
	}
}
