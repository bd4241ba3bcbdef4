package ring

import (
	"strings"
	"testing"
)

func FuzzSlot(f *testing.F) {
	f.Add("/Secret/default/a")
	f.Fuzz(func(t *testing.T, key string) {
		if got, want := Slot(key), referenceSlot(key); got != want || got < 0 || got >= Count {
			t.Errorf("Slot(%q) = %d, want %d", key, got, want)
		}
	})
}

func FuzzParseSlots(f *testing.F) {
	for _, text := range []string{"", "0", "0-1023", "17,0-3", "3-1", "1024", "00", "-1", "1-", "1,,2", " 1", "+1", "1-2-3", strings.Repeat("1,", 3000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSlots(text)
		if err != nil {
			if !s.Empty() {
				t.Errorf("ParseSlots(%q) returns slots and the error %v", text, err)
			}
			return
		}
		if strings.Trim(text, "0123456789,-") != "" {
			t.Errorf("ParseSlots(%q) takes more than digits, commas and dashes", text)
		}
		if again, err := ParseSlots(s.String()); err != nil || again != s {
			t.Errorf("ParseSlots(%q) gives %q, which gives %q and the error %v", text, s.String(), again.String(), err)
		}
		n := 0
		for slot := range s.All() {
			if !s.Has(slot) {
				t.Errorf("slot %d is yielded, and is not in the set", slot)
			}
			n++
		}
		if n != s.Len() {
			t.Errorf("%d slots are yielded of %d", n, s.Len())
		}
	})
}
