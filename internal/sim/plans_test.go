package sim

import (
	"math/rand/v2"
	"time"
)

// plans are kinds of plans. All but the first are for what does not happen often enough by chance.
var plans = map[string]func(seed uint64) Plan{
	"mixed":             NewPlan,
	"without admission": withoutAdmission,
	"coming back":       comingBack,
	"slow shards":       slowShards,
	"lost leads":        lostLeads,
	"pauses":            pauses,
	"unlike clocks":     unlikeClocks,
	"late requests":     lateRequests,
	"twins":             twins,
	"without audits":    withoutAudits,
	"tampering":         tampering,
	"foundings":         foundings,
	"rolling":           rolling,
	"slow moves":        slowMoves,
	"older tables":      olderTables,
	"refusals":          refusing,
}

// withoutAdmission returns a plan with two replicas of the sharder that give objects to shards themselves, and know different
// shards while these come and go.
func withoutAdmission(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 2, 2, 10, time.Minute, nil
	p.Actions = append(p.Actions, Action{At: 2 * time.Second, For: 58 * time.Second, Kind: admissionFor, Conditions: Conditions{Refused: true}})
	r := dice(seed).roll("without admission")
	for i := range 60 {
		at := between(r, 3*time.Second, time.Minute)
		p.Actions = append(p.Actions, Action{At: at, Kind: create, N: 10 + i},
			Action{At: between(r, at, time.Minute), Kind: edit, N: 10 + i})
		if i%6 == 0 {
			p.Actions = append(p.Actions,
				Action{At: at, Kind: []string{join, leave}[r.IntN(2)], Target: shardName(r.IntN(5))},
				Action{At: at, For: time.Minute - at, Kind: lag, N: 1, Target: "leases", Conditions: Conditions{Delay: between(r, 0, 5*time.Second)}})
		}
	}
	return p
}

// comingBack returns a plan with shards that crash and are back as soon as their objects have been moved, and API servers that
// tell of it late.
func comingBack(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 1, 2, 12, time.Minute, nil
	for i := range 2 {
		for _, resource := range []string{"configmaps", "secrets"} {
			p.Actions = append(p.Actions, Action{
				At: 3 * time.Second, For: 56 * time.Second, Kind: lag, N: i, Target: resource, Conditions: Conditions{Delay: time.Duration(i) * 4 * time.Second},
			})
		}
	}
	for i := range 4 {
		p.Actions = append(p.Actions, Action{At: time.Duration(5+12*i) * time.Second, Kind: crash, Target: shardName(i % p.Shards)})
	}
	return p
}

// slowShards returns a plan like withoutAdmission with shards that hear late of what happens.
func slowShards(seed uint64) Plan {
	p := withoutAdmission(seed)
	for i := range 5 {
		p.Actions = append(p.Actions, Action{At: 3 * time.Second, For: 56 * time.Second, Kind: network, Target: shardName(i), Conditions: Conditions{WatchLag: 500 * time.Millisecond}})
	}
	return p
}

// lostLeads returns a plan with replicas of the sharder that are cut off again and again, for about as long as they hold the
// lead without hearing from the API server. In the end there is something to do for who leads then.
func lostLeads(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 1+int(seed%2), 1, 10, 75*time.Second, nil
	r := dice(seed).roll("lost leads")
	for at := 3 * time.Second; at < 70*time.Second; at += between(r, time.Second, 12*time.Second) {
		p.Actions = append(p.Actions, Action{
			At: at, For: between(r, renewDeadline-time.Second, leaseDuration+time.Second), Kind: network,
			Target: replicaName(r.IntN(p.Replicas)), Conditions: Conditions{Cut: true},
		})
		if r.IntN(2) == 0 {
			p.Actions = append(p.Actions, Action{At: at - time.Second, Kind: []string{join, leave, editRing, stop}[r.IntN(4)], Target: shardName(r.IntN(4))})
		}
	}
	p.Actions = append(p.Actions, Action{At: 74 * time.Second, Kind: join, Target: shardName(5)})
	return p
}

// pauses returns a plan with shards that are stopped while they work, for about as long as it takes until their Leases are
// taken, or longer.
func pauses(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 1, 1, 10, 90*time.Second, nil
	r := dice(seed).roll("long pauses")
	for at := 5 * time.Second; at < 75*time.Second; at += 15 * time.Second {
		p.Actions = append(p.Actions, Action{
			At: at, For: between(r, leaseDuration, 5*leaseDuration/2), Kind: network, Target: shardName(r.IntN(p.Shards)), Conditions: Conditions{Paused: true},
		})
		for n := range p.Objects {
			p.Actions = append(p.Actions, Action{At: between(r, at-300*time.Millisecond, at), Kind: edit, N: n})
		}
	}
	return p
}

// unlikeClocks returns a plan with clocks of shards that run almost as differently as the grace of a Lease, a third of its
// duration, allows. Now and then somebody deletes the Lease of a slow shard that is stopped, for about as long as the Lease lasts.
func unlikeClocks(seed uint64) Plan {
	p := pauses(seed)
	if seed%2 == 0 {
		p = NewPlan(seed)
	}
	p.Rates = rates(seed, 0.2)
	r := dice(seed).roll("deleted leases")
	for i, a := range p.Actions {
		if a.Conditions.Paused && r.IntN(2) == 0 {
			p.Actions[i].For = between(r, leaseDuration, leaseDuration*5/4)
			p.Actions = append(p.Actions, Action{At: a.At + time.Millisecond, Kind: removeLease, Target: a.Target})
			p.Rates[a.Target] = 0.8
		}
	}
	p.sort()
	return p
}

// lateRequests returns a plan with two shards and a sharder whose requests take long, and hang for longer than Leases last when it
// crashes. Again and again a shard is gone, its objects are moved, the sharder crashes meanwhile, and the other shard is gone as
// well: the first gets its Lease back with its objects, and what hung arrives. It is kept busy with the children of its objects,
// because a late move of an object that has changed does nothing.
func lateRequests(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Late, p.Trouble, p.Actions = 2, 1, 1, 16, 3*leaseDuration/2, 145*time.Second, nil
	r := dice(seed).roll("late requests")
	slow := Conditions{Delay: 500 * time.Millisecond, WatchLag: between(r, 0, 200*time.Millisecond)}
	p.Actions = append(p.Actions, Action{At: 4 * time.Second, For: p.Trouble - 4*time.Second, Kind: network, Target: replicaName(0), Conditions: slow})
	for at := 20 * time.Second; at < 100*time.Second; at += time.Minute {
		i := r.IntN(2)
		lost := at + between(r, 11*time.Second/2, 15*time.Second/2)
		p.Actions = append(p.Actions,
			Action{At: at, For: between(r, leaseDuration, 2*leaseDuration), Kind: down, Target: shardName(i)},
			Action{At: lost, Kind: crash, Target: replicaName(0)},
			Action{At: between(r, lost-time.Second, lost+time.Second), For: 35 * time.Second, Kind: down, Target: shardName(1 - i)})
		for t := lost + 2*leaseDuration; t < lost+5*leaseDuration; t += 500 * time.Millisecond {
			for n := range p.Objects {
				p.Actions = append(p.Actions, Action{At: between(r, t, t+500*time.Millisecond), Kind: removeChild, N: n})
			}
		}
	}
	p.sort()
	return p
}

// twins returns a plan with shards that are paused or cut off, each while a second process of its name waits for the Lease, which
// somebody may delete. The wait has no margin for clocks that run differently.
func twins(seed uint64) Plan {
	p := pauses(seed)
	if seed%2 == 0 {
		p = NewPlan(seed)
	}
	p.Rates = nil
	r := dice(seed).roll("twins")
	for at := 5 * time.Second; at < p.Trouble-2*leaseDuration; at += between(r, 2*leaseDuration, 5*leaseDuration) {
		shard, lasting := shardName(r.IntN(p.Shards)), between(r, leaseDuration/2, 5*leaseDuration/2)
		p.Actions = append(p.Actions,
			Action{At: at, For: lasting, Kind: network, Target: shard, Conditions: Conditions{Cut: true, Paused: r.IntN(2) == 0}},
			Action{At: between(r, at-leaseDuration/2, at+leaseDuration), For: between(r, time.Second, 4*leaseDuration), Kind: twin, Target: shard})
		for n := range p.Objects {
			p.Actions = append(p.Actions, Action{At: between(r, at-300*time.Millisecond, at+leaseDuration), Kind: edit, N: n})
		}
	}
	p.sort()
	return p
}

// withoutAudits returns a plan in which something is to be done that nothing but an audit would see to in the end. A namespace comes back to the
// ring, with objects that were created meanwhile; or replicas of the sharder give objects to a shard that has left, because
// they hear late of it.
func withoutAudits(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Spread, p.Objects, p.AuditInterval, p.Trouble, p.Actions = 3, 3, 2, false, 6, noAudits, 50*time.Second, nil
	if seed%3 == 0 {
		p.Actions = append(p.Actions, Action{At: 40 * time.Second, For: 9 * time.Second, Kind: moveOut})
		for i := range 8 {
			p.Actions = append(p.Actions, Action{At: time.Duration(41+i) * time.Second, Kind: create, N: 103 + 4*i})
		}
		return p
	}
	p.Actions = append(p.Actions, Action{At: 3 * time.Second, For: 46 * time.Second, Kind: lag, N: 1, Target: "leases", Conditions: Conditions{Delay: 15 * time.Second}},
		Action{At: 30 * time.Second, Kind: leave, Target: shardName(int(seed % 2))})
	for i := range 40 {
		p.Actions = append(p.Actions, Action{At: 31*time.Second + time.Duration(i)*300*time.Millisecond, Kind: create, N: 100 + i})
	}
	return p
}

// tampering returns a plan in which somebody strips, rewrites, replaces, copies and restores labels, objects and Leases all the time,
// while shards come and go.
func tampering(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Objects, p.AuditInterval, p.Trouble, p.Actions = 3, 2, 12, 20*time.Second, time.Minute, nil
	r := dice(seed).roll("tampering")
	kinds := []string{strip, relabel, put, restore, relabelChild, edit, removeChild}
	for at := 3 * time.Second; at < p.Trouble; at += between(r, 0, 500*time.Millisecond) {
		p.Actions = append(p.Actions, Action{At: at, Kind: kinds[r.IntN(len(kinds))], N: r.IntN(p.Objects), Target: someSlot(r.IntN(3000))})
		switch r.IntN(25) {
		case 0, 1:
			p.Actions = append(p.Actions, Action{At: at, Kind: []string{join, leave}[r.IntN(2)], Target: shardName(r.IntN(5)), N: r.IntN(2)})
		case 2:
			p.Actions = append(p.Actions, Action{At: at, Kind: []string{removeLease, restoreLease, relabelLease}[r.IntN(3)], Target: shardName(r.IntN(3))})
		case 3:
			p.cutOff(r, at, shardName(r.IntN(3)))
		case 4:
			p.Actions = append(p.Actions, Action{At: at, For: between(r, 0, 20*time.Second), Kind: admissionFor, Conditions: Conditions{Refused: true}})
		}
	}
	return p
}

// cutOff has a shard that is cut off lose its Lease to somebody who deletes it. It works on until its deadline.
func (p *Plan) cutOff(r *rand.Rand, at time.Duration, shard string) {
	p.Actions = append(p.Actions, Action{At: at, For: between(r, leaseDuration/2, leaseDuration), Kind: network, Target: shard, Conditions: Conditions{Cut: true}},
		Action{At: at + time.Millisecond, Kind: removeLease, Target: shard})
}

// editAll has objects change all the time.
func (p *Plan) editAll(r *rand.Rand) {
	for at := 5 * time.Second; at < p.Trouble; at += 200 * time.Millisecond {
		p.Actions = append(p.Actions, Action{At: at, Kind: edit, N: r.IntN(p.Objects)})
	}
}

// foundings returns a plan in which tables get lost while shards come, go and are paused.
func foundings(seed uint64) Plan {
	p := pauses(seed)
	p.Replicas = 2
	r := dice(seed).roll("foundings")
	for at := 5 * time.Second; at < p.Trouble; at += between(r, 3*time.Second, 20*time.Second) {
		kind := []string{wipeStatus, wipeStatus, removeRing}[r.IntN(3)]
		a := Action{At: at, Kind: kind}
		if kind == removeRing {
			a.For = between(r, 0, 10*time.Second)
		}
		p.Actions = append(p.Actions, a)
		switch r.IntN(6) {
		case 0:
			p.Actions = append(p.Actions, Action{At: between(r, at, at+3*time.Second), Kind: []string{join, leave}[r.IntN(2)], Target: shardName(r.IntN(5)), N: r.IntN(2)})
		case 4, 5: // others have just got its slots, and their Leases do not show it yet
			leaver := r.IntN(5)
			p.Actions = append(p.Actions, Action{At: at - between(r, 0, time.Second), Kind: leave, Target: shardName(leaver)},
				Action{At: at + 2*time.Second, Kind: join, Target: shardName((leaver + 3) % 5)})
		case 1:
			p.Actions = append(p.Actions, Action{At: between(r, at-time.Second, at+3*time.Second), Kind: []string{crash, stop}[r.IntN(2)], Target: replicaName(r.IntN(2))})
		case 2:
			p.Actions = append(p.Actions, Action{At: between(r, at-time.Second, at+3*time.Second), Kind: removeLease, Target: shardName(r.IntN(3))})
		case 3:
			p.cutOff(r, at-between(r, 0, 2*time.Second), shardName(r.IntN(3)))
		}
	}
	p.editAll(r)
	p.sort()
	return p
}

// rolling returns a plan with rolling updates of all shards, as a Deployment and as a StatefulSet carry them out, while objects
// change.
func rolling(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Objects, p.Trouble, p.Actions = 3, 2, 12, time.Minute, nil
	r := dice(seed).roll("rolling")
	for i, at := 0, 10*time.Second; i < 3; i, at = i+1, at+between(r, 3*time.Second, 12*time.Second) {
		if seed%2 == 0 {
			p.Actions = append(p.Actions, Action{At: at, Kind: stop, Target: shardName(i)})
			continue
		}
		p.Actions = append(p.Actions, Action{At: at, Kind: join, Target: shardName(3 + i)},
			Action{At: at + between(r, time.Second, 3*time.Second), Kind: leave, Target: shardName(i)})
	}
	p.editAll(r)
	return p
}

// slowMoves returns a plan with rolling updates in which the requests of every other shard take long: shards give up on some of
// them, and words and their answers are under way for a while.
func slowMoves(seed uint64) Plan {
	p := rolling(seed)
	r := dice(seed).roll("slow moves")
	for i := range 6 {
		if r.IntN(2) == 0 {
			p.Actions = append(p.Actions, Action{
				At: 3 * time.Second, For: p.Trouble - 3*time.Second, Kind: network, Target: shardName(i),
				Conditions: Conditions{Delay: between(r, 200*time.Millisecond, 600*time.Millisecond)},
			})
		}
	}
	for at := 15 * time.Second; at < p.Trouble; at += between(r, 4*time.Second, 10*time.Second) {
		p.Actions = append(p.Actions, Action{At: at, Kind: []string{join, leave}[r.IntN(2)], Target: shardName(r.IntN(6))})
	}
	p.sort()
	return p
}

// olderTables returns a plan in which somebody puts back an older table of the ring again and again. Either the lead does not change,
// so the sharder knows that it did not write that; or the sharder is away, but a Lease shows a newer table. Without either, the
// sharder cannot know.
func olderTables(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Servers, p.Objects, p.Trouble, p.Actions = 3, 1, 1, 12, 80*time.Second, nil
	r := dice(seed).roll("older tables")
	for i, at := 0, 12*time.Second; at < p.Trouble; i, at = i+1, at+between(r, 14*time.Second, 20*time.Second) {
		// Nobody comes back under a Lease that the older table may name.
		p.Actions = append(p.Actions, Action{At: at, Kind: join, Target: shardName(3 + i)},
			Action{At: between(r, at, at+4*time.Second), Kind: leave, Target: shardName(i)})
		a := Action{At: between(r, at, at+8*time.Second), Kind: restoreTable, N: r.IntN(6)}
		if seed%2 == 1 {
			a.Target = shown
			p.Actions = append(p.Actions, Action{At: a.At - between(r, 0, time.Second), Kind: crash, Target: replicaName(0)})
		}
		p.Actions = append(p.Actions, a)
	}
	p.editAll(r)
	p.sort()
	return p
}
