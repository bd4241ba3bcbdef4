package ring

// Count is the number of slots of every ring.
const Count = 1024

const (
	// prime is the Mersenne prime 2^31-1, the modulus of the hash. Squares of residues fit into the signed 64-bit integers
	// of CEL, which fails on overflow instead of wrapping around.
	prime = 1<<31 - 1
	// base is the multiplier of the MINSTD generator, a primitive root modulo prime (Park, Miller and Stockmeyer 1993).
	base = 48271
	// positions is the number of different weights. Characters further along start again with the first.
	positions = 1024
	// round1 and round2 are what the quadratic rounds add.
	round1 = 1013904223
	round2 = 1664525
)

// weights holds base^(i+1) modulo prime for every position i. It is never written to after initialisation.
var weights = func() (w [positions]uint32) {
	power := uint64(1)
	for i := range w {
		power = power * base % prime
		w[i] = uint32(power)
	}
	return w
}()

// Slot returns the slot of a key, 0 ≤ slot < Count, as doc.go defines it. Every string has one, also one that is not valid
// UTF-8. It never changes from one version to the next.
func Slot(key string) int {
	var sum uint64
	i := 0
	for _, r := range key {
		if i == positions {
			// A product is less than 2^38, so the sum of 1024 cannot overflow, and this cannot for keys of any length.
			i, sum = 0, sum%prime
		}
		sum += code(r) * uint64(weights[i])
		i++
	}
	x := sum % prime
	x = (x*x + round1) % prime
	x = (x*x + round2) % prime
	return int(x % Count)
}

// code returns 2 to 96 for a printable ASCII character and 1 for any other. It is never 0, so that every character counts.
func code(r rune) uint64 {
	if r < ' ' || r > '~' {
		return 1
	}
	return uint64(r - ' ' + 2)
}
