package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Kinds of actions.
const (
	network       = "network"        // of the target is like the conditions for a while
	crash         = "crash"          // the target ends at once, and is started again, at once or after a while
	stop          = "stop"           // the target ends gracefully, and is started again
	down          = "down"           // the target ends gracefully, and is started again after a while
	reset         = "reset"          // all watches of the target break
	hang          = "hang"           // the workers of the target, a shard, do nothing until it is started again
	restartServer = "restart-server" // API server N
	outage        = "outage"         // API server N, or all if there is none, is away for a while, and has forgotten everything
	lag           = "lag"            // the cache of API server N for the target, a resource, is late by the delay for a while
	admissionFor  = "admission"      // the webhook is like the conditions for a while
	refuse        = "refuse"         // the target, with N, fails for ever
	create        = "create"         // object N, by a user, like all that follows
	edit          = "edit"
	remove        = "delete"
	replace       = "replace"
	strip         = "strip"   // the labels of ours from object N
	relabel       = "relabel" // object N: its slot is the target
	put           = "put"     // object N, from a manifest without labels of ours
	restore       = "restore" // object N, as it was
	removeChild   = "delete-child"
	relabelChild  = "relabel-child"
	removeLease   = "delete-lease"  // of the target
	restoreLease  = "restore-lease" // of the target, as it was
	inventLease   = "invent-lease"  // of a shard that never was
	wipeStatus    = "wipe-status"   // of the ring, the table included
	restoreTable  = "restore-table" // the one before the last N; if the target is shown, only if a Lease shows a newer one
	removeWebhook = "delete-webhook-configuration"
	relabelLease  = "relabel-lease" // of the target: it is of no ring
	editRing      = "edit-ring"
	removeRing    = "delete-ring"   // for a while
	moveOut       = "namespace-out" // some objects are not the ring's for a while
	join          = "join"          // the target becomes a shard
	twin          = "twin"          // a second process of the target's name runs for a while
	leave         = "leave"         // the target ceases to be one, gracefully, or by a crash if N is 1
)

// Action is one thing that happens. What lasts ends after For.
type Action struct {
	At, For    time.Duration
	Kind       string
	Target     string
	N          int
	Conditions Conditions
}

func (a Action) String() string {
	text := fmt.Sprintf("%8s %s", a.At.Round(time.Millisecond), a.Kind)
	if a.Target != "" {
		text += " " + a.Target
	}
	if a.Kind == leave && a.N == 1 {
		text += " by a crash"
	} else if a.Kind != leave && a.Kind != join {
		text += fmt.Sprintf(" %d", a.N)
	}
	if a.For > 0 {
		text += fmt.Sprintf(" for %s", a.For.Round(time.Millisecond))
	}
	if a.Conditions != (Conditions{}) {
		text += fmt.Sprintf(" %+v", a.Conditions)
	}
	return text
}

// Plan is a whole run.
type Plan struct {
	Seed                      uint64
	Shards, Replicas, Servers int
	// Objects is how many there are at the beginning, and Padding how many bytes each has that mean nothing.
	Objects, Padding int
	// Spread has requests of one process go to any of the API servers, and not to always the same.
	Spread bool
	// Late is about how late requests are of which their senders hear nothing. If it is zero, most are early, and some very late.
	Late time.Duration
	// Neighbour has a second ring beside the one that this is about.
	Neighbour bool
	// AuditInterval is that of the sharder.
	AuditInterval time.Duration
	// Skew is by how much the clocks of shards are wrong, and Rates how many seconds they count in a second, if not 1.
	Skew  map[string]time.Duration
	Rates map[string]float64
	// Trouble is how long there are faults. After that, everything has to get well.
	Trouble time.Duration
	Actions []Action
}

// noAudits is an AuditInterval that ends when everything has to be well: nothing is seen to by an audit that is to happen without.
const noAudits = 15 * time.Minute

func (p Plan) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d: %d shards, %d replicas, %d API servers (spread: %t), %d objects, audit every %s, clocks off by %v at rates of %v, late by %s, trouble for %s\n",
		p.Seed, p.Shards, p.Replicas, p.Servers, p.Spread, p.Objects, p.AuditInterval, p.Skew, p.Rates, p.Late, p.Trouble)
	for _, a := range p.Actions {
		fmt.Fprintln(&out, a)
	}
	return out.String()
}

func shardName(i int) string   { return fmt.Sprintf("shard-%c", 'a'+i) }
func replicaName(i int) string { return fmt.Sprintf("sharder-%d", i) }

// NewPlan returns the plan of a seed.
func NewPlan(seed uint64) Plan {
	r := rand.New(rand.NewPCG(seed, 0))
	p := Plan{
		Seed: seed, Shards: 2 + r.IntN(3), Replicas: 1 + r.IntN(2), Servers: 1 + r.IntN(2), Objects: 3 + r.IntN(10),
		AuditInterval: between(r, 20*time.Second, 2*time.Minute), Trouble: between(r, 20*time.Second, 90*time.Second), Skew: map[string]time.Duration{},
	}
	for i := range p.Shards {
		if r.IntN(4) == 0 {
			p.Skew[shardName(i)] = between(r, -10*time.Minute, 10*time.Minute).Round(time.Second)
		}
	}
	for range 3 + r.IntN(25) {
		p.Actions = append(p.Actions, p.action(r))
	}
	p.sort()
	if dice(seed).roll("audits").IntN(2) == 0 {
		p.AuditInterval = noAudits
	}
	p.Rates = rates(seed, 0.01)
	// What is drawn above stays what it was, so that seeds keep their meaning.
	pauses := dice(seed).roll("pauses")
	for i, a := range p.Actions {
		if a.Kind == network && a.Conditions.Cut {
			p.Actions[i].Conditions.Paused = pauses.IntN(2) == 0
		}
	}
	if hangs := dice(seed).roll("hangs"); hangs.IntN(3) == 0 {
		p.Actions = append(p.Actions, Action{At: between(hangs, 2*time.Second, p.Trouble), Kind: hang, Target: shardName(hangs.IntN(p.Shards))})
		p.sort()
	}
	servers := dice(seed).roll("API servers")
	p.Spread = p.Servers > 1 && servers.IntN(2) == 0
	if servers.IntN(3) == 0 {
		at := between(servers, 2*time.Second, p.Trouble)
		p.Actions = append(p.Actions, Action{
			At: at, For: min(between(servers, 0, 2*leaseDuration), p.Trouble-at), Kind: outage, N: servers.IntN(p.Servers + 1),
		})
		p.sort()
	}
	return p
}

func (p *Plan) sort() {
	slices.SortStableFunc(p.Actions, func(a, b Action) int { return int(a.At - b.At) })
}

// rates returns rates of the clocks of shards, every other of which is wrong by up to so much.
func rates(seed uint64, most float64) map[string]float64 {
	r, rates := dice(seed).roll("rates"), map[string]float64{}
	for i := range 6 {
		if rate := 1 + most*(2*r.Float64()-1); r.IntN(2) == 0 {
			rates[shardName(i)] = rate
		}
	}
	return rates
}

func (p Plan) action(r *rand.Rand) Action {
	a := Action{At: between(r, 2*time.Second, p.Trouble)}
	shard, object := shardName(r.IntN(p.Shards)), r.IntN(p.Objects+3)
	target := shard
	if r.IntN(3) == 0 {
		target = replicaName(r.IntN(p.Replicas))
	}
	lasting := min(between(r, 0, 4*leaseDuration), p.Trouble-a.At)
	switch r.IntN(24) {
	case 0, 1, 2, 3, 4:
		a.Kind, a.Target, a.For, a.Conditions = network, target, lasting, someConditions(r)
	case 5, 6:
		a.Kind, a.Target = crash, target
	case 7:
		a.Kind, a.Target = stop, target
	case 8:
		a.Kind, a.Target, a.For = down, target, lasting
	case 9:
		a.Kind, a.Target = reset, target
	case 10:
		a.Kind, a.N = restartServer, r.IntN(p.Servers)
	case 11:
		a.Kind, a.N, a.For, a.Conditions.Delay = lag, r.IntN(p.Servers), lasting, between(r, 0, 5*time.Second)
		a.Target = []string{"leases", "configmaps", "secrets", "clusterrings", "namespaces"}[r.IntN(5)]
	case 12:
		a.Kind, a.For, a.Conditions = admissionFor, lasting, someConditions(r)
	case 13:
		a.Kind, a.N = create, object
	case 14, 15:
		a.Kind, a.N = edit, object
	case 16:
		a.Kind, a.N = []string{remove, replace}[r.IntN(2)], object
	case 17:
		a.Kind, a.N, a.Target = []string{strip, relabel, put, restore}[r.IntN(4)], object, someSlot(r.IntN(3000))
	case 18:
		a.Kind, a.N, a.Target = []string{removeChild, relabelChild}[r.IntN(2)], object, someSlot(r.IntN(3000))
	case 19:
		a.Kind, a.Target = []string{removeLease, relabelLease, restoreLease, inventLease}[r.IntN(4)], shard
		if a.Kind == inventLease {
			a.Target = fmt.Sprintf("ghost-%d", r.IntN(3))
		}
	case 20:
		a.Kind = []string{removeWebhook, editRing, wipeStatus}[r.IntN(3)]
	case 21:
		a.Kind, a.For = []string{removeRing, moveOut}[r.IntN(2)], lasting
	case 22, 23:
		a.Kind, a.Target, a.N = []string{join, leave}[r.IntN(2)], shardName(r.IntN(p.Shards+2)), r.IntN(2)
	}
	return a
}

func someConditions(r *rand.Rand) Conditions {
	var c Conditions
	for {
		switch r.IntN(8) {
		case 0:
			c.Cut = true
		case 1:
			c.Refused = true
		case 2, 3:
			c.Delay = between(r, 0, 3*time.Second)
		case 4:
			c.Loss = r.Float64() / 3
		case 5:
			c.Errors = r.Float64() / 3
			c.Twice = r.Float64() / 3
		case 6:
			c.WatchLag = between(r, 0, 5*time.Second)
		case 7:
			c.WatchLife = between(r, 0, 10*time.Second)
		}
		if r.IntN(3) > 0 {
			return c
		}
	}
}
