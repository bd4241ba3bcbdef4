package ring

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
)

// TestVectors fails when the published hash or preference changes, which would move objects in every cluster. 64-bit numbers
// are hexadecimal strings, because not every JSON parser keeps them.
func TestVectors(t *testing.T) {
	var vectors struct {
		Slots []struct {
			Key    *string
			KeyHex string // instead of Key where the bytes are not valid UTF-8
			Slot   int
		}
		Draws []struct {
			Name, Seed string
			Draws      []string // for the slots 0, 1 and 2
		}
	}
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors.Slots) == 0 || len(vectors.Draws) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors.Slots {
		key := ""
		if v.Key != nil {
			key = *v.Key
		} else if b, err := hex.DecodeString(v.KeyHex); err != nil {
			t.Fatal(err)
		} else {
			key = string(b)
		}
		if got := Slot(key); got != v.Slot {
			t.Errorf("Slot(%.60q) = %d, want %d", key, got, v.Slot)
		}
	}
	for _, v := range vectors.Draws {
		s := share{seed: seed(v.Name)}
		if got := fmt.Sprintf("%016x", s.seed); got != v.Seed {
			t.Errorf("the seed of %q is %s, want %s", v.Name, got, v.Seed)
		}
		for slot, want := range v.Draws {
			if got := fmt.Sprintf("%016x", s.draw(slot)); got != want {
				t.Errorf("the draw of %q for slot %d is %s, want %s", v.Name, slot, got, want)
			}
		}
	}
}
