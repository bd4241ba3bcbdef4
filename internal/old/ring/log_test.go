package ring

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestNegLog2(t *testing.T) {
	for draw, want := range map[uint64]uint64{
		0:                  64 << 32, // taken for 1
		1:                  64 << 32,
		2:                  63 << 32,
		1 << 63:            1 << 32,
		1 << 62:            2 << 32,
		math.MaxUint64:     1,
		3 << 62:            1782572487,  // 2^32 × 0.41503749…
		0x123456789abcdef0: 16380065491, // 2^32 × 3.81378205…
	} {
		if got := negLog2(draw); got != want {
			t.Errorf("negLog2(%#x) = %d, want %d", draw, got, want)
		}
	}
}

func TestNegLog2IsClose(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		draw := rng.Uint64() >> rng.IntN(64)
		if draw == 0 {
			continue
		}
		got, want := float64(negLog2(draw)), (64-math.Log2(float64(draw)))*(1<<32)
		if math.Abs(got-want) > 4 {
			t.Fatalf("negLog2(%#x) = %.0f, want about %.1f", draw, got, want)
		}
	}
}

// TestNegLog2Bound checks what bestWeighted skips logarithms by, and that larger draws do not have larger logarithms.
func TestNegLog2Bound(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	check := func(draw uint64) {
		if draw != 0 && ^draw>>32 > negLog2(draw) {
			t.Errorf("draw %#x: the bound %d is above the logarithm %d", draw, ^draw>>32, negLog2(draw))
		}
		if draw != math.MaxUint64 && negLog2(draw+1) > negLog2(draw) {
			t.Errorf("negLog2 rises from %#x to the next", draw)
		}
	}
	for i := range uint64(100_000) {
		check(rng.Uint64() >> rng.IntN(64))
		check(i)
		check(math.MaxUint64 - i)
	}
}
