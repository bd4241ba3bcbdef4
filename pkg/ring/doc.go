// Package ring decides who has which slots. It is pure and depends on the standard library alone: no clock, no I/O, no
// state. The same table and the same view give the same next table, whatever the order of the Leases.
//
// # What it guarantees
//
//   - No slot is in two rows, and no slot leaves a row without the word of its shard (H2) or the end of its Lease (H3). A
//     word counts from the revision on in which the request was made.
//   - If somebody can take slots, every slot has an owner in the table that Next returns. Otherwise nothing moves (H5).
//   - Shards of equal weight get equal numbers of slots, except for one. A join moves the quota of the newcomer, a leave
//     what the leaver had, and no other slot (G5 of the design).
//   - What Next has returned stays as it is until the view changes.
//
// # What it does not guarantee
//
// It believes its view: that a Lease is gone, that its holder has proved itself. Slots do not hold the same number of
// objects; with 100,000 objects the fullest of 3 shards has up to 1.012 of the mean, of 30 up to 1.07. With different
// weights, a change of membership may move an odd slot or two more.
//
// # The plan
//
// Each member has a quota: its share of the slots by weight, rounded down. The slots that are left go to members with a
// remainder, one each: first to those that have more than their rounded share, so that nobody gives up a slot only because
// somebody else could have it; then to those that miss most, so that a newcomer takes over all that a leaver had.
//
// Marked members count in the quotas, get nothing, and are asked for nothing more. If they did not count, the others would
// share their quota, and give it back when they return; a join next to a marked shard would take too much from the others.
//
// Slots without an owner go at once to members below their quota. A shard of the same name gets what its predecessor had.
// Above their quota members are asked only for what others miss. For a New member nobody is asked, although it has its
// quota from the beginning: in a rolling update it gets all that the leaver had in one piece.
//
// # The slot of a key
//
// There are 1024 slots. The slot of a key can be computed in CEL with the functions of the API server, which have no bit
// operations and fail when a 64-bit integer overflows (tools/devcluster/slottest does so). With p = 2147483647 (2^31-1):
//
//  1. Take the key as Unicode characters. A byte that is not part of valid UTF-8 is one character, U+FFFD.
//  2. The code of a printable ASCII character (32 to 126) is its number minus 30, so 2 to 96. The code of every other
//     character is 1.
//  3. x = Σ code(i) × 48271^(1 + i mod 1024) mod p, where i is the position of the character, from 0.
//  4. x = (x × x + 1013904223) mod p
//  5. x = (x × x + 1664525) mod p
//  6. The slot is x mod 1024.
//
// Step 3 is multilinear: each of 1024 positions, more than the 635 characters of the longest partition key, has a weight of
// its own. Without steps 4 and 5 the slots of names in sequence would be in sequence, too. The hash is no defence against
// somebody who looks for names with the same slot: balance is all that such names cost.
//
// # Preference
//
// Where more than one shard could get or give a slot, rendezvous hashing decides (Thaler and Ravishankar 1998), with unsigned
// 64-bit integers that wrap around:
//
//  1. mix(z): z = (z ^ z>>30) × 0xbf58476d1ce4e5b9; z = (z ^ z>>27) × 0x94d049bb133111eb; z ^ z>>31
//  2. The seed of a shard is mix(h), where h is the FNV-1a hash (64 bits) of its name's bytes.
//  3. The draw of a shard for a slot is mix(seed + (slot + 1) × 0x9e3779b97f4a7c15). The highest draw wins.
//
// testdata/vectors.json has test vectors for slots, seeds and draws, for implementations in other languages.
package ring
