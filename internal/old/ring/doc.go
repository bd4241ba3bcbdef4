// Package ring says which member of a ring owns a key. It is pure and depends on the standard library alone: no clock,
// no I/O, no state. Whoever has the same set of members gets the same owners, whatever the order of the members and
// whatever was before.
//
// # What it guarantees
//
//   - The ring is a function of the set of members and their weights, on every architecture, in every version. A change
//     of what is written below would move objects in every cluster, so it does not change.
//   - No member owns more than its share of the slots times 1.03, rounded up. What a member gets in keys differs a
//     little more than that, since slots do not hold the same number of keys.
//   - Little moves (G5 of the design). When one of n members leaves, what it had moves, about 1/n of the keys; when one
//     joins, it is given about 1/n, and the rest stays, except for what the bound causes: some slots that passed a
//     member by because it was full go to it now, or the other way round. In proportion to the share of one member, up
//     to this much was seen to move between members that stay: 0.01 with 10 members, 0.1 with 30, 0.4 with 100. That is
//     0.4 % of all keys in the last case.
//
// # What it does not guarantee
//
// A ring knows nothing about which of its members are alive or how many objects there are. With more than a few hundred
// members a share is so few slots that one more or less matters, and the bound moves more than the join itself: use
// fewer and larger shards.
//
// # The slot of a key
//
// There are 16384 slots. The slot of a key can be computed in CEL with the functions of the API server, which have no
// bit operations and fail when a 64-bit integer overflows; see HashExpression. With p = 2147483647 (2^31-1):
//
//  1. Take the key as Unicode characters. A byte that is not part of valid UTF-8 is one character, U+FFFD.
//  2. The code of a printable ASCII character (32 to 126) is its number minus 30, so 2 to 96. The code of every other
//     character is 1.
//  3. x = Σ code(i) × 48271^(1 + i mod 1024) mod p, where i is the position of the character, from 0.
//  4. x = (x × x + 1013904223) mod p
//  5. x = (x × x + 1664525) mod p
//  6. The slot is x mod 16384.
//
// Step 3 is multilinear: each of 1024 positions, more than the 635 characters of the longest partition key, has a
// weight of its own. Without steps 4 and 5 the slots of names in sequence would be in sequence, too, and visibly
// uneven. The hash is no defence against somebody who looks for names that have the same slot, and needs to be none:
// balance is all that such names cost.
//
// # The owner of a slot
//
// The slots are visited from 0 to 16383. Each goes to the member with the highest score for it among those that are not
// full (rendezvous hashing, Thaler and Ravishankar 1998, with the bound of Mirrokni, Thorup and Zadimoghaddam 2018).
// With arithmetic on unsigned 64-bit integers that wraps around, where ^ is exclusive or:
//
//  1. A member is full when it owns ceil(16384 × 103 × w / (100 × W)) slots; w is its weight, W the sum of all weights.
//  2. mix(z): z = (z ^ z>>30) × 0xbf58476d1ce4e5b9; z = (z ^ z>>27) × 0x94d049bb133111eb; z ^ z>>31
//  3. The seed of a member is mix(h), where h is the FNV-1a hash (64 bits) of its name's bytes.
//  4. The draw of a member for a slot is mix(seed + (slot + 1) × 0x9e3779b97f4a7c15), that is output slot + 1 of a
//     SplitMix64 generator with that seed.
//  5. With equal weights the highest draw wins; of equal draws that of the name that sorts first by its bytes.
//  6. With different weights the lowest log(draw) / w wins, compared as log(a) × w(b) < log(b) × w(a); of equal ones
//     the highest draw, then the name that sorts first. This is the rule for equal weights, too, but for draws that are
//     so close that their logarithms are equal, where it comes to the same.
//
// log(d) stands for -log2(d / 2^64) in units of 2^-32, computed without floating point, which differs between
// architectures:
//
//  1. If d is 0, d = 1. Let z be the number of leading zero bits of d, x = d << z, and f = 0.
//  2. 32 times: let y be the 128-bit square of x. If the highest bit of y is set, f = 2f + 1 and x = y >> 64; otherwise
//     f = 2f and x = y >> 63.
//  3. log(d) = (z + 1) × 2^32 - f.
//
// testdata/vectors.json has test vectors for slots, seeds, draws, logarithms and rings, for implementations in other
// languages.
package ring
