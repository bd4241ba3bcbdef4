package ring

import (
	"slices"
	"strings"
	"testing"
)

func FuzzSlot(f *testing.F) {
	for _, key := range vectorKeys() {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		got := Slot(key)
		if got < 0 || got >= Slots {
			t.Errorf("Slot(%q) = %d is out of range", key, got)
		}
		if want := referenceSlot(key); got != want {
			t.Errorf("Slot(%q) = %d, want %d", key, got, want)
		}
	})
}

// FuzzRing makes rings of the lines of a text, the first byte of each being the weight.
func FuzzRing(f *testing.F) {
	f.Add("\x00a\n\x00b\n\x00c", "key")
	f.Add("\x01canary\n\x64stable", "")
	f.Add("", "\xff")
	f.Add("\x00", "no name")
	f.Add("\x00a\n\x01a", "duplicate")
	f.Add("\xffa\n\x02b", "negative")
	f.Fuzz(func(t *testing.T, text, key string) {
		var members []Member
		for line := range strings.SplitSeq(text, "\n") {
			if len(members) == 20 {
				break
			}
			if line != "" {
				members = append(members, Member{Name: line[1:], Weight: int(int8(line[0]))})
			}
		}
		r, err := New(members...)
		if valid := isValid(members); valid != (err == nil) {
			t.Fatalf("New(%v): error %v", members, err)
		}
		if err != nil {
			return
		}
		owner, ok := r.Owner(key)
		if ok != (len(members) > 0) {
			t.Fatalf("Owner(%q) = %q, %v of %d members", key, owner, ok, len(members))
		}
		if !ok {
			return
		}
		if want := referenceOwners(members)[Slot(key)]; owner != want {
			t.Errorf("Owner(%q) = %q, want %q", key, owner, want)
		}
		slices.Reverse(members)
		if again, _ := mustNew(t, members).Owner(key); again != owner {
			t.Errorf("Owner(%q) = %q, and %q in another order", key, owner, again)
		}
	})
}

func isValid(members []Member) bool {
	seen := map[string]bool{"": true}
	for _, m := range members {
		if seen[m.Name] || m.Weight < 0 {
			return false
		}
		seen[m.Name] = true
	}
	return true
}
