package certificates

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzParseState reads Secrets that anybody may have written. What is refused is refused with the key that is wrong; what is
// accepted is the same when it is written and read again. Whatever it was, what is made of it works and stays.
func FuzzParseState(f *testing.F) {
	p := seenFor(0, epoch)
	// They are made here so that no private key is kept.
	for _, s := range stateSeeds(f, p) {
		data, err := s.encode(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data[keyCACert], data[keyCAKey], data[keyCert], data[keyKey])
		f.Add(data[keyCACert], data[keyKey], data[keyCert], data[keyCAKey])
		f.Add(data[keyCert], data[keyKey], data[keyCert], data[keyKey])
	}
	f.Fuzz(func(t *testing.T, caCert, caKey, cert, key []byte) {
		data := map[string][]byte{keyCACert: caCert, keyCAKey: caKey, keyCert: cert, keyKey: key, "other": []byte("kept")}
		s, err := parseState(data)
		if err == nil {
			checkRoundTrip(t, s, data)
		} else if message := err.Error(); !strings.HasPrefix(message, keyCACert) && !strings.HasPrefix(message, keyCert) {
			t.Errorf("the error does not begin with what is wrong in the Secret: %v", err)
		}

		next, _, _, err := plan(s, epoch, p)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(next, next.cas, "127.0.0.1", epoch); err != nil {
			t.Error(err)
		}
		if _, changed, _, err := plan(next, epoch, p); changed || err != nil {
			t.Errorf("what was just made is made anew: %v, %v", changed, err)
		}
	})
}

func checkRoundTrip(t *testing.T, s state, data map[string][]byte) {
	t.Helper()
	if len(s.cas) == 0 || s.serving.certificate == nil {
		t.Fatal("half a state without an error")
	}
	encoded, err := s.encode(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseState(encoded)
	if err != nil {
		t.Fatalf("what was read can't be read again: %v", err)
	}
	if !slices.Equal(again.ids(), s.ids()) || string(encoded["other"]) != "kept" {
		t.Errorf("what was read changes when it is read again: %d certificates instead of %d", len(again.ids()), len(s.ids()))
	}
}

// stateSeeds returns a good state, and others.
func stateSeeds(f *testing.F, p policy) []state {
	f.Helper()
	made := func(at time.Time) state {
		s, _, _, err := plan(state{}, at, p)
		if err != nil {
			f.Fatal(err)
		}
		return s
	}
	good, other, expired := made(epoch), made(epoch.Add(-time.Hour)), made(epoch.Add(-100*time.Hour))
	return []state{
		good,
		expired,
		{cas: []pair{other.cas[0], good.cas[0]}, serving: other.serving},
		{cas: []pair{expired.cas[0], good.cas[0]}, serving: expired.serving},
		{cas: good.cas, serving: other.serving},
		{cas: []pair{powerlessCA(f)}, serving: good.serving},
	}
}
