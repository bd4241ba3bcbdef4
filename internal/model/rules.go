package model

// A Rule is one that the protocol keeps. Without it a guarantee breaks: that is what it is there for. The H names are those
// of docs/design.md.
type Rule uint64

const (
	// RuleCompareAndSwap (H1): the table is written only with the resourceVersion that it was computed from.
	RuleCompareAndSwap Rule = 1 << iota
	// RuleNewRevision (H1): each write has a higher revision.
	RuleNewRevision
	// RuleAsk (H2): a slot leaves a live shard only after its word.
	RuleAsk
	// RuleWordSince (H2): a word counts only if it is about the request, or a later table.
	RuleWordSince
	// RuleSinceInTable (H2): the table says since which revision it asks. Otherwise each leader counts from its first write.
	RuleSinceInTable
	// RuleRowLease (§2): a row is for the UID of a Lease, not for a name.
	RuleRowLease
	// RuleGone (H3): slots are taken without a word only from a Lease that is no more.
	RuleGone
	// RuleGoneByGet (H3): a Lease that has lost its label is asked like any other. It is not gone.
	RuleGoneByGet
	// RuleWaitForDeleted (H3): a Lease that somebody else deleted is gone only after duration and grace.
	RuleWaitForDeleted
	// RuleDeleteSilent (H3): the sharder deletes a Lease with a holder only after duration and grace.
	RuleDeleteSilent
	// RuleDeletePrecondition (H3): the delete names the UID and the resourceVersion.
	RuleDeletePrecondition
	// RuleDeleteAnswer (H3): a Lease counts as deleted after the answer, not after the request.
	RuleDeleteAnswer
	// RuleReleased (H3, duty 5): a free Lease is released only if its holder says so. Until then it counts as held.
	RuleReleased
	// RuleForce (H3): the slots of Leases that are gone are given away.
	RuleForce
	// RuleGive: slots that nobody has are given away.
	RuleGive
	// RuleMarked (H5): a shard that is expired gets nothing. Redundant for what is explored here.
	RuleMarked
	// RuleKeepWithoutHeir (H3): nothing is deleted while nobody could take the slots. Redundant for what is explored here.
	RuleKeepWithoutHeir
	// RuleFoundForeign (H6): a table that the leader finds in its term and has not written is lost.
	RuleFoundForeign
	// RuleFoundShown (H6): a table is lost if a Lease shows a higher revision.
	RuleFoundShown
	// RuleFoundAbove (H6): a founding table is above all that anybody can have seen.
	RuleFoundAbove
	// RuleFoundAnswers (H6): the founding waits for the answer of every Lease that has a holder.
	RuleFoundAnswers
	// RuleFoundList (H6): these Leases are listed from the present state.
	RuleFoundList
	// RuleFoundWait (H6): the founding waits for processes whose Lease somebody deleted.
	RuleFoundWait
	// RuleFoundAll (H6): the answer has all slots that the shard may be working on.
	RuleFoundAll
	// RuleFound (H6): a lost table is founded, instead of being written from what Leases show at that moment.
	RuleFound

	// RuleTakeSilent (duty 1): a process takes a Lease only after its holder's deadline.
	RuleTakeSilent
	// RuleConsistentGet (duty 1): the first table is read after the answer to the acquisition.
	RuleConsistentGet
	// RuleRising (duty 1): a shard ignores a table that is not newer.
	RuleRising
	// RuleLostStaysLost (duty 1): a process does not acquire a Lease again that it has lost.
	RuleLostStaysLost
	// RuleSameLease (duty 1): a Lease with another UID is lost.
	RuleSameLease
	// RuleSameRenewal (duty 1): a Lease that is older than what the process wrote last is lost.
	RuleSameRenewal
	// RuleFence (duty 2): a shard works only before its deadline.
	RuleFence
	// RuleTimeout (duty 2): a request ends with the Lease, because the API server enforces its timeout.
	RuleTimeout
	// RuleReleasing (duty 2): a shard does not work on what it is asked for.
	RuleReleasing
	// RuleBusy (duty 3): a slot stays in the word while work on it has not ended.
	RuleBusy
	// RuleUnanswered (duty 3): so it does while a request without an answer may still arrive.
	RuleUnanswered
	// RuleWordByHolder (duty 3): the word is written with the resourceVersion of a Lease that the process holds.
	RuleWordByHolder
	// RuleWordLess (duty 3): the word is written whenever it gets less.
	RuleWordLess
	// RuleWordOwed (duty 3): the word is written whenever a request or a founding table is newer than what it shows.
	RuleWordOwed
	// RuleFirstWord (duty 3): a process writes its word about the first table that it sees.
	RuleFirstWord
	// RuleGained (duty 4): a slot comes back with its objects read from the present state.
	RuleGained
	// RuleGainedSent (duty 4): a word that was sent counts for that, whether it was answered or not.
	RuleGainedSent
	// RuleEndWork (duty 5): work ends before the Lease is released.
	RuleEndWork

	afterLast
)
