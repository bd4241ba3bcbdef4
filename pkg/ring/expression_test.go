package ring

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// That HashExpression evaluates to what Slot returns is tested with the API server's own environment in tools/devcluster,
// because that takes dependencies that this module does not have. This test keeps its tables honest.
func TestHashExpressionTables(t *testing.T) {
	powers, strides := numbers(t, celPowers), numbers(t, celStrides)
	if len(powers) != 32 || len(strides) != 32 {
		t.Fatalf("got %d powers and %d strides, want 32 each", len(powers), len(strides))
	}
	for i, want := range weights {
		if got := powers[i%32] * strides[i/32%32] % prime; got != uint64(want) {
			t.Errorf("position %d weighs %d in CEL, want %d", i, got, want)
		}
	}
	for _, constant := range []int{prime, round1, round2, Count} {
		if !strings.Contains(celTail, strconv.Itoa(constant)) {
			t.Errorf("HashExpression lacks %d", constant)
		}
	}
}

func TestHashExpressionAlphabet(t *testing.T) {
	alphabet := strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(strings.TrimSuffix(strings.TrimPrefix(celAlphabet, "'"), "'"))
	for r := rune(0); r < 0x300; r++ {
		if got, want := strings.Index(alphabet, string(r))+2, int(code(r)); got != want {
			t.Errorf("character %q has code %d in CEL, want %d", r, got, want)
		}
	}
}

func TestSlotExpression(t *testing.T) {
	want := strings.Replace(HashExpression, "[key.", "[(object.metadata.name + '/x').", 1)
	if got := SlotExpression("object.metadata.name + '/x'"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func numbers(t *testing.T, list string) []uint64 {
	t.Helper()
	var out []uint64
	for s := range strings.SplitSeq(list, ", ") {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(fmt.Errorf("table %.20q: %w", list, err))
		}
		out = append(out, n)
	}
	return out
}
