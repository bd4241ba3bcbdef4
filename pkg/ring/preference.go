package ring

// gamma is the increment of SplitMix64, 2^64 divided by the golden ratio.
const gamma = 0x9e3779b97f4a7c15

// draw is how much the shard prefers the slot, by rendezvous hashing (Thaler and Ravishankar 1998).
func (s *share) draw(slot int) uint64 { return mix(s.seed + uint64(slot+1)*gamma) }

// seed returns the state that the draws of a shard start from: FNV-1a of the name's bytes, mixed.
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
