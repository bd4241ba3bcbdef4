package ring

import "math/bits"

// excessPercent is ε: how much more than its share of the slots a member may own.
const excessPercent = 3

// gamma is the increment of SplitMix64, 2^64 divided by the golden ratio.
const gamma = 0x9e3779b97f4a7c15

// candidate is a member that is not full yet.
type candidate struct {
	seed   uint64
	weight uint64
	index  int32
	free   int // slots that it may still be given
}

// assign gives each slot, from the first to the last, to the candidate with the highest score, as doc.go defines it. The
// members are sorted by name; the first of several with the same score wins.
func assign(members []Member) []int32 {
	if len(members) == 0 {
		return nil
	}
	candidates := candidatesOf(members)
	equal := true
	for _, m := range members {
		equal = equal && m.Weight == members[0].Weight
	}
	best := bestWeighted
	if equal {
		best = bestEqual
	}
	owners := make([]int32, Slots)
	for slot := range owners {
		i := best(candidates, uint64(slot+1)*gamma)
		owners[slot] = candidates[i].index
		if candidates[i].free--; candidates[i].free == 0 {
			candidates = append(candidates[:i], candidates[i+1:]...)
		}
	}
	return owners
}

func candidatesOf(members []Member) []candidate {
	total := uint64(0)
	for _, m := range members {
		total += uint64(m.Weight)
	}
	candidates := make([]candidate, len(members))
	for i, m := range members {
		candidates[i] = candidate{
			seed:   seed(m.Name),
			weight: uint64(m.Weight),
			index:  int32(i),
			free:   capacity(uint64(m.Weight), total),
		}
	}
	return candidates
}

// capacity is the member's share of the slots times 1+ε, rounded up. All capacities together are at least Slots, so that
// the candidates cannot run out before the slots do.
func capacity(weight, total uint64) int {
	over, under := Slots*(100+excessPercent)*weight, total*100
	return int((over + under - 1) / under)
}

// bestEqual returns the index of the candidate with the highest draw. It is bestWeighted for members of equal weight, whose
// order does not change when the draws are scaled, at a fraction of the cost.
func bestEqual(candidates []candidate, step uint64) int {
	best, highest := 0, uint64(0)
	for i := range candidates {
		if draw := mix(candidates[i].seed + step); draw > highest {
			best, highest = i, draw
		}
	}
	return best
}

// bestWeighted returns the index of the candidate with the least -log2(draw) / weight.
func bestWeighted(candidates []candidate, step uint64) int {
	best, bestDraw, bestLog := 0, uint64(0), uint64(0)
	for i := range candidates {
		draw := mix(candidates[i].seed + step)
		if i == 0 {
			best, bestDraw, bestLog = i, draw, negLog2(draw)
			continue
		}
		w, bw := candidates[i].weight, candidates[best].weight
		// -log2(u) > 1-u for 0 < u < 1: most candidates are out without their logarithm.
		if (^draw>>32)*bw > bestLog*w {
			continue
		}
		log := negLog2(draw)
		if l, b := log*bw, bestLog*w; l < b || l == b && draw > bestDraw {
			best, bestDraw, bestLog = i, draw, log
		}
	}
	return best
}

// seed returns the state that the draws of a member start from: FNV-1a of the name's bytes, mixed.
func seed(name string) uint64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 0x100000001b3
	}
	return mix(h)
}

// mix is the output function of SplitMix64 (Steele, Lea and Flood 2014).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// negLog2 returns -log2(draw / 2^64) in units of 2^-32 as doc.go defines it. It uses nothing but integers, because floating
// point gives different results on different architectures.
func negLog2(draw uint64) uint64 {
	if draw == 0 {
		draw = 1
	}
	zeros := bits.LeadingZeros64(draw)
	x := draw << zeros // draw / 2^64 = x / 2^63 / 2^(zeros+1), 1 ≤ x / 2^63 < 2
	fraction := uint64(0)
	for range 32 {
		hi, lo := bits.Mul64(x, x)
		bit := hi >> 63 // without branches, which nothing could predict
		fraction = fraction<<1 | bit
		x = hi<<(1-bit) | lo>>63&^bit
	}
	return uint64(zeros+1)<<32 - fraction
}
