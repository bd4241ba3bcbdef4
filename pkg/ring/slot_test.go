package ring

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestSlotTakesInvalidUTF8LikeTheReplacementCharacter(t *testing.T) {
	for _, key := range unusualKeys() {
		// One character for each invalid byte, where strings.ToValidUTF8 has one for each run of them.
		if got, want := Slot(key), Slot(string([]rune(key))); got != want {
			t.Errorf("Slot(%.60q) = %d, want %d", key, got, want)
		}
	}
}

func TestSlotDoesNotOverflow(t *testing.T) {
	// The largest code at every position of a key far longer than the API server accepts one.
	key := strings.Repeat("~", 1<<16)
	if got, want := Slot(key), referenceSlot(key); got != want {
		t.Errorf("Slot of %d characters = %d, want %d", len(key), got, want)
	}
}

// TestSlotSpreadsSequences compares the slots of names in sequence with what a random function would give.
func TestSlotSpreadsSequences(t *testing.T) {
	const n = 100_000
	tests := map[string]func(i int) string{
		"numbers":                func(i int) string { return fmt.Sprintf("example.com/Foo/default/foo-%d", i) },
		"numbers of one length":  func(i int) string { return fmt.Sprintf("example.com/Foo/default/foo-%05d", i) },
		"hexadecimal":            func(i int) string { return fmt.Sprintf("apps/Deployment/default/app-%x", i) },
		"nothing but numbers":    func(i int) string { return fmt.Sprint(i) },
		"numbered namespaces":    func(i int) string { return fmt.Sprintf("/Secret/ns-%d/credentials", i) },
		"namespaces times names": func(i int) string { return fmt.Sprintf("/Secret/ns-%d/app-%d", i/317, i%317) },
		"namespace and name":     func(i int) string { return fmt.Sprintf("/Secret/ns-%d/app-%d", i, i) },
		"one long name":          func(i int) string { return strings.Repeat("a", i%600) + strings.Repeat("b", i/600) },
	}
	for name, key := range tests {
		t.Run(name, func(t *testing.T) {
			counts := make([]int, Count)
			for i := range n {
				counts[Slot(key(i))]++
			}
			const mean = float64(n) / Count
			chi2, most := 0.0, 0
			for _, c := range counts {
				chi2 += (float64(c) - mean) * (float64(c) - mean) / mean
				most = max(most, c)
			}
			// A random function stays within four standard deviations but once in 16,000 times, and has about 130 keys in
			// its fullest slot. The keys are fixed, so this cannot flake.
			if z := (chi2 - (Count - 1)) / math.Sqrt(2*(Count-1)); math.Abs(z) > 4 || most > 150 {
				t.Errorf("chi-square is %.2f standard deviations off, the fullest slot has %d keys of %.1f on average", z, most, mean)
			}
		})
	}
}

// TestSlotAvalanche changes one character of a key: half of the slot's bits should follow, and the slot itself should stay
// the same no more often than for two unrelated keys.
func TestSlotAvalanche(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const chars = "abcdefghijklmnopqrstuvwxyz0123456789-."
	const n = 200_000
	flips, same := make([]int, 10), 0
	for range n {
		key := []byte("example.com/Foo/default/")
		for range 1 + rng.IntN(40) {
			key = append(key, chars[rng.IntN(len(chars))])
		}
		before, at := Slot(string(key)), rng.IntN(len(key))
		old := key[at]
		for key[at] == old {
			key[at] = chars[rng.IntN(len(chars))]
		}
		diff := before ^ Slot(string(key))
		if diff == 0 {
			same++
		}
		for bit := range flips {
			flips[bit] += diff >> bit & 1
		}
	}
	for bit, c := range flips {
		if ratio := float64(c) / n; math.Abs(ratio-0.5) > 0.01 {
			t.Errorf("bit %d follows in %.3f of all cases, want 0.5", bit, ratio)
		}
	}
	if want := n / Count; same > 3*want {
		t.Errorf("%d of %d changes keep the slot, want about %d", same, n, want)
	}
}

// TestSlotOrderMatters swaps the characters of a key, also such that have nearly the same weight in CEL's tables.
func TestSlotOrderMatters(t *testing.T) {
	same, n := 0, 0
	key := []byte(strings.Repeat("a", positions))
	before := Slot(string(key))
	for i := range positions {
		for _, distance := range []int{1, 2, 32, 64, 512} {
			j := (i + distance) % positions
			key[i], key[j] = 'b', 'c'
			one := Slot(string(key))
			key[i], key[j] = 'c', 'b'
			if n++; one == Slot(string(key)) || one == before {
				same++
			}
			key[i], key[j] = 'a', 'a'
		}
	}
	if same > 30 {
		t.Errorf("%d of %d swaps keep the slot, want about %d", same, n, 2*n/Count)
	}
}

// referenceSlot is Slot written down from doc.go with big integers and nothing prepared.
func referenceSlot(key string) int {
	p := big.NewInt(2147483647)
	sum := new(big.Int)
	for i, char := range []rune(key) {
		code := int64(1)
		if char >= 32 && char <= 126 {
			code = int64(char) - 30
		}
		weight := new(big.Int).Exp(big.NewInt(48271), big.NewInt(int64(i%1024+1)), p)
		sum.Add(sum, weight.Mul(weight, big.NewInt(code)))
	}
	x := sum.Mod(sum, p)
	for _, c := range []int64{1013904223, 1664525} {
		x.Mul(x, x).Add(x, big.NewInt(c)).Mod(x, p)
	}
	return int(x.Int64() % 1024)
}

func TestSlotMatchesReference(t *testing.T) {
	for _, key := range append(unusualKeys(), realisticKeys(5000)...) {
		if got, want := Slot(key), referenceSlot(key); got != want {
			t.Errorf("Slot(%.60q) = %d, want %d", key, got, want)
		}
	}
}
