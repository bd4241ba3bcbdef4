// Package cases tests small inputs that real installations meet, with the sharder as a process and shards of the library, on
// a real API server. It has no code of its own.
//
// Each case has a test, here or where it fits better:
//
//	 1  objects replaced from manifests during a join or leave   TestReplaced and TestReplacedWithoutAdmission; internal/sim
//	 2  a built-in controller rewrites labels                    TestEndpointSlices
//	 3  labels changed in a loop, one object broken once         TestStripped; labels.TestLabelsAreCorrected
//	 4  born with a copied or invalid label                      TestReplaced; sharder.TestLife
//	 5  many objects with invented labels                        TestReplaced
//	 6  a Lease that nobody renews                               table.TestHostileLeases
//	 7  a Lease of a live shard's name elsewhere                 table.TestHostileLeases, e2e.TestGarbageLeases
//	 8  a Lease with a huge holder, whose updates fail           table.TestHostileLeases, e2e.TestGarbageLeases
//	 9  names that the API server limits                         TestGeneratedNames
//	10  children outside of the ring's namespaces                labels.TestClusterScopedOwner
//	11  sharding is turned on for owners with children           TestTurnedOn; labels.TestChildrenFirst
//	12  a policy removes a label again and again                 TestStripped; labels.TestStripped
//	13  a policy forbids the removal of labels                   TestRefused, where it forbids every update
//	14  a resource that cannot be listed                         TestUnreadable; shard.TestCutOff
//	15  a namespace that refuses every update                    TestRefused; labels.TestRefusingNamespace
//	16  a namespace leaves a ring, or goes to another            TestNamespaceMoves; labels.TestNamespaceLeaves
//	17  the API server cannot reach admission                    sharder.TestNotCalled; TestTurnedOn
//	18  memory under many large creates and hostile bodies       TestMemory; admission.TestDecodingKeepsNothing
//	19  manifests applied again                                  sharder.TestManifestsAppliedAgain
//	20  somebody edits the webhook configuration each time       sharder.TestContested, rings.TestGuard
//	21  labels of parents copied to children                     TestReplaced, where they are copied all the time
//	22  two installations                                        e2e.TestTwoInstallations, sharder.TestTwoInstallations
//	23  a ring that does not exist, is deleted, and comes back   e2e.TestMissingRing, e2e.TestTampering
//	24  a shard that cannot list, or whose data is cut           TestCutOff; shard.TestCannotRead
//	25  a controller that acts on deletes                        TestMovesDeleteNothing
//	26  orphans and adoption                                     TestAdoption
//	27  rolling updates                                          table.TestRollingUpdate, ring.TestRollingUpdate; internal/sim
package cases
