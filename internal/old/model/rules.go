package model

// A Rule is one that the protocol keeps (Rule…), or that it takes for granted (Assume…). Without it, a guarantee breaks: that
// is what it is there for.
type Rule uint32

const (
	// RuleLetGoVersion: a shard lets go of an object only if it is as the shard saw it (resourceVersion; handover/patch.go).
	RuleLetGoVersion Rule = 1 << iota
	// RuleLetGoIdle: a shard lets go of an object only when it does not work on it (key of the workqueue, handover.Gate).
	RuleLetGoIdle
	// RuleFence: a shard whose deadline has passed does nothing (lease.Fence, lease.Valid).
	RuleFence
	// RuleLostStaysLost: a Lease that was lost is not acquired again by the same process (lock.checkHeld).
	RuleLostStaysLost
	// RuleWaitForSharder: while the sharder holds a Lease, no process takes it (lock.Get).
	RuleWaitForSharder
	// RuleFirstList: the first list of a shard is not older than its Lease (informers.TweakListOptions, shard.ErrTooEarly).
	RuleFirstList
	// RuleReleaseIdle: a shard releases its Lease only after its work has ended (lease.Run).
	RuleReleaseIdle
	// RuleTakeAfterDeadline: a Lease is taken only after the deadline of its holder (leases.Tracker, leases.Controller, and
	// the elector of client-go for other processes).
	RuleTakeAfterDeadline
	// RuleWaitForDeleted: a Lease that somebody deleted is made anew only after its holder's deadline (assignment, hold.go).
	RuleWaitForDeleted
	// RuleClaim: objects are moved by force only while the sharder holds the Lease (assignment, hold.go).
	RuleClaim
	// RuleClaimWrites: a claim writes to the Lease also if the sharder holds it already (leases.Lock.Claim).
	RuleClaimWrites
	// RuleStopAfterRelease: nothing is moved by force after the Lease was given back (assignment, evacuation.run).
	RuleStopAfterRelease
	// RuleOvertake: before a Lease is given back, requests that may hang to move objects from the shard are made to fail
	// (assignment, overtake.go).
	RuleOvertake
	// RuleResume: who claims a Lease that was claimed and never given back knows that, and that such requests may hang
	// (leases.Claim.Resumes).
	RuleResume
	// RuleMoveVersion: the sharder moves an object only if it is as the sharder saw it (resourceVersion; package relabel).
	RuleMoveVersion
	// RuleLeaderFence: a sharder that does not lead any more writes nothing (sharder/term.go).
	RuleLeaderFence
	// RuleStrayOwner: a child is not let go of alone while its owner is here (handover.Controlled.ownerHere).
	RuleStrayOwner
	// RuleLetGoChildrenFirst: a shard lets go of the children first (handover.letGoOfFamily).
	RuleLetGoChildrenFirst
	// RuleMoveChildrenFirst: the sharder moves the children first (assignment, evacuation.run).
	RuleMoveChildrenFirst
	// RuleStrays: a shard lets go of children whose owner is not here (handover.Run).
	RuleStrays
	// RuleAssign: somebody gives objects to a shard that admission has missed (package unassigned, scans).
	RuleAssign
	// RuleGiveBack: the sharder gives Leases back (assignment, evacuation.settle).
	RuleGiveBack
	// RuleEvacuate: objects of shards that are gone are moved (assignment).
	RuleEvacuate

	// AssumeOneProcess: when somebody deletes the Lease of a live process, no second one of that name starts at once.
	AssumeOneProcess
	// AssumeSharderLeases: nobody deletes a Lease that the sharder holds.
	AssumeSharderLeases
	// AssumeOneRing: while an owner leaves its shard, the ring stays as it is, and whoever decides about the family knows it.
	// Only G4Arrive takes that for granted.
	AssumeOneRing
	// AssumeChildrenSeen: the cache of a shard that is asked for an owner has the child, if it has the shard's label. Only
	// G4Arrive takes that for granted.
	AssumeChildrenSeen

	afterLast
)
