package ring

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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
	return int(x.Int64() % 16384)
}

// referenceOwners is assign written down from doc.go: it sorts all members for each slot and takes the first that is not full.
func referenceOwners(members []Member) []string {
	type scored struct {
		name   string
		weight uint64
		draw   uint64
		log    uint64
	}
	total := int64(0)
	for _, m := range members {
		total += int64(max(m.Weight, 1))
	}
	given := map[string]int64{}
	full := func(m Member) bool {
		// given ≥ slots × 1.03 × weight / total
		return given[m.Name]*100*total >= 16384*103*int64(max(m.Weight, 1))
	}
	owners := make([]string, 16384)
	for slot := range owners {
		var candidates []scored
		for _, m := range members {
			if full(m) {
				continue
			}
			draw := referenceDraws(m.Name)(slot)
			candidates = append(candidates, scored{m.Name, uint64(max(m.Weight, 1)), draw, negLog2(draw)})
		}
		best := slices.MinFunc(candidates, func(a, b scored) int {
			left, right := a.log*b.weight, b.log*a.weight
			switch {
			case left != right:
				return compare(left, right)
			case a.draw != b.draw:
				return compare(b.draw, a.draw)
			}
			return strings.Compare(a.name, b.name)
		})
		owners[slot] = best.name
		given[best.name]++
	}
	return owners
}

// referenceDraws returns the draws of a member as outputs of a SplitMix64 generator.
func referenceDraws(name string) func(slot int) uint64 {
	s := seed(name)
	return func(slot int) uint64 { return mix(s + (uint64(slot)+1)*0x9e3779b97f4a7c15) }
}

func compare(a, b uint64) int {
	if a < b {
		return -1
	}
	return 1
}

func TestSlotMatchesReference(t *testing.T) {
	for _, key := range append(unusualKeys(), realisticKeys(5000)...) {
		if got, want := Slot(key), referenceSlot(key); got != want {
			t.Errorf("Slot(%.60q) = %d, want %d", key, got, want)
		}
	}
}

func TestOwnersMatchReference(t *testing.T) {
	tests := map[string][]Member{
		"one":                   names(1),
		"two":                   names(2),
		"three":                 names(3),
		"ten":                   names(10),
		"equal weights, not 1":  {{"a", 7}, {"b", 7}, {"c", 7}},
		"weights":               {{"a", 1}, {"b", 2}, {"c", 3}},
		"no weight is 1":        {{"a", 0}, {"b", 2}, {"c", 1}},
		"steep weights":         {{"a", MaxWeight}, {"b", 1}, {"c", 1000}},
		"canary":                {{"canary", 5}, {"stable-0", 95}, {"stable-1", 95}},
		"many different ones":   weighted(25),
		"more than there is":    names(40),
		"names alike, one long": {{"a", 0}, {"aa", 0}, {"aaa", 0}, {strings.Repeat("a", 300), 0}},
	}
	for name, members := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(referenceOwners(members), owners(t, members)); diff != "" {
				t.Errorf("owners differ (-reference +ring):\n%s", diff)
			}
		})
	}
}

func owners(t testing.TB, members []Member) []string {
	t.Helper()
	r := mustNew(t, members)
	out := make([]string, Slots)
	for slot := range out {
		out[slot], _ = r.SlotOwner(slot)
	}
	return out
}

func mustNew(t testing.TB, members []Member) *Ring {
	t.Helper()
	r, err := New(members...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// names returns n members called as the replicas of a StatefulSet are.
func names(n int) []Member {
	members := make([]Member, n)
	for i := range members {
		members[i].Name = fmt.Sprintf("foo-controller-%d", i)
	}
	return members
}

// weighted returns n members whose weights differ.
func weighted(n int) []Member {
	members := names(n)
	for i := range members {
		members[i].Weight = 1 + i*i
	}
	return members
}
