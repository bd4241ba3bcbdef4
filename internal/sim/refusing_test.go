package sim

import "time"

// refusing returns a plan in which something fails for ever, while shards and objects come and go.
func refusing(seed uint64) Plan {
	p := NewPlan(seed)
	p.Shards, p.Replicas, p.Objects, p.AuditInterval, p.Trouble, p.Neighbour, p.Actions = 3, 2, 12, 20*time.Second, time.Minute, true, nil
	r := dice(seed).roll("refusing")
	targets := []string{
		refuseLabel, refuseChild, refuseNamespace, refuseMains, refuseChildren, refuseMark, refuseTake, refuseLook, refuseHold, refuseList,
		refuseTable, refuseStatus, refuseNeighbour,
	}
	a := Action{At: between(r, 15*time.Second, 25*time.Second), Kind: refuse, Target: targets[r.IntN(len(targets))], N: r.IntN(p.Shards)}
	others := []string{shardName(3), shardName(4)} // who come and go
	switch a.Target {
	case refuseLabel, refuseChild:
		a.N = r.IntN(p.Objects)
		p.Actions = append(p.Actions, Action{At: a.At + time.Second, Kind: []string{strip, relabel, put}[r.IntN(3)], N: a.N, Target: "7"},
			Action{At: a.At + 2*time.Second, Kind: relabelChild, N: a.N, Target: "7"})
	case refuseTake, refuseLook:
		p.Actions = append(p.Actions, Action{At: a.At + between(r, 0, 10*time.Second), Kind: leave, Target: shardName(a.N), N: r.IntN(2)})
	case refuseList, refuseTable:
		a.At, a.N, others[0] = 0, 3, shardName(5)
		p.Actions = append(p.Actions, Action{At: 10 * time.Second, Kind: join, Target: shardName(3)})
	case refuseMark:
		a.At = 0
		p.Actions = append(p.Actions, Action{At: between(r, 10*time.Second, 30*time.Second), Kind: []string{crash, stop}[r.IntN(2)], Target: shardName(a.N)})
	case refuseStatus:
		others = nil // nobody could get anything
	}
	p.Actions = append(p.Actions, a)
	for at := between(r, 8*time.Second, 15*time.Second); at < p.Trouble && others != nil; at += between(r, 4*time.Second, 12*time.Second) {
		p.Actions = append(p.Actions, Action{At: at, Kind: []string{join, leave}[r.IntN(2)], Target: others[r.IntN(2)], N: r.IntN(2)})
		if r.IntN(4) == 0 {
			p.Actions = append(p.Actions, Action{At: at, Kind: []string{crash, stop}[r.IntN(2)], Target: replicaName(r.IntN(2))})
		}
	}
	kinds := []string{strip, relabel, put, restore, relabelChild, edit, edit, removeChild, create}
	for at := 4 * time.Second; at < p.Trouble; at += between(r, 0, 600*time.Millisecond) {
		p.Actions = append(p.Actions, Action{At: at, Kind: kinds[r.IntN(len(kinds))], N: r.IntN(p.Objects + 6), Target: someSlot(r.IntN(3000))})
	}
	p.sort()
	return p
}
