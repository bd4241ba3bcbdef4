package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNewErrors(t *testing.T) {
	tests := map[string]struct {
		members []Member
		want    []string // parts of the message
	}{
		"empty name":        {[]Member{{Name: "a"}, {}}, []string{"member without a name"}},
		"duplicate":         {[]Member{{Name: "a"}, {Name: "b"}, {Name: "a"}}, []string{`member "a": duplicate name`}},
		"duplicate, weight": {[]Member{{"a", 1}, {"a", 2}}, []string{`member "a": duplicate name`}},
		"negative weight":   {[]Member{{"a", -1}}, []string{`member "a": weight -1 is not between 0 and 1048576`}},
		"huge weight":       {[]Member{{"a", MaxWeight + 1}}, []string{`member "a": weight 1048577 is not between`}},
		"everything at once": {
			[]Member{{"a", -1}, {"b", 0}, {"b", 0}, {}},
			[]string{`member "a": weight -1`, `member "b": duplicate name`, "member without a name"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := New(tt.members...)
			if err == nil || r != nil {
				t.Fatalf("got ring %v, error %v, want no ring and an error", r, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}

func TestEmptyRing(t *testing.T) {
	var none *Ring
	for name, r := range map[string]*Ring{"no members": mustNew(t, nil), "nil": none} {
		t.Run(name, func(t *testing.T) {
			if owner, ok := r.Owner("a"); owner != "" || ok {
				t.Errorf("Owner = %q, %v", owner, ok)
			}
			if owner, ok := r.SlotOwner(0); owner != "" || ok {
				t.Errorf("SlotOwner = %q, %v", owner, ok)
			}
			if members := r.Members(); len(members) != 0 {
				t.Errorf("Members = %v", members)
			}
		})
	}
}

func TestSlotOwnerOutOfRange(t *testing.T) {
	r := mustNew(t, names(3))
	for _, slot := range []int{-1, Slots, 1 << 30} {
		if owner, ok := r.SlotOwner(slot); owner != "" || ok {
			t.Errorf("SlotOwner(%d) = %q, %v", slot, owner, ok)
		}
	}
}

func TestMembers(t *testing.T) {
	in := []Member{{"b", 0}, {"c", 3}, {"a", 1}}
	r := mustNew(t, in)
	want := []Member{{"a", 1}, {"b", 1}, {"c", 3}}
	if diff := cmp.Diff(want, r.Members()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Member{{"b", 0}, {"c", 3}, {"a", 1}}, in); diff != "" {
		t.Errorf("New changed what it was given:\n%s", diff)
	}
	r.Members()[0].Name = "changed"
	if diff := cmp.Diff(want, r.Members()); diff != "" {
		t.Errorf("the ring changed with the slice that it gave away:\n%s", diff)
	}
}

// TestOrderDoesNotMatter shuffles the members: the ring is a function of the set.
func TestOrderDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	for name, members := range map[string][]Member{"equal": names(30), "weighted": weighted(30)} {
		t.Run(name, func(t *testing.T) {
			want, fingerprint := owners(t, members), Fingerprint(members)
			for range 10 {
				rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
				if !slices.Equal(owners(t, members), want) {
					t.Fatalf("members in the order %v make another ring", members)
				}
				if Fingerprint(members) != fingerprint {
					t.Fatalf("members in the order %v have another fingerprint", members)
				}
			}
		})
	}
}

// TestHistoryDoesNotMatter lets members come and go: what is left makes the ring it would have made from the start.
func TestHistoryDoesNotMatter(t *testing.T) {
	want := owners(t, names(5))
	for n := range 9 {
		mustNew(t, names(n+1))
	}
	if !slices.Equal(owners(t, names(5)), want) {
		t.Error("the same members make another ring than before")
	}
}

func TestEqualWeightsAreNoWeights(t *testing.T) {
	one, seven := names(10), names(10)
	for i := range seven {
		seven[i].Weight = 7
	}
	if !slices.Equal(owners(t, one), owners(t, seven)) {
		t.Error("members of weight 7 make another ring than members without weights")
	}
}

func TestFingerprint(t *testing.T) {
	same := [][]Member{{{"a", 0}, {"b", 2}}, {{"b", 2}, {"a", 1}}}
	if Fingerprint(same[0]) != Fingerprint(same[1]) {
		t.Error("equal sets have different fingerprints")
	}
	seen := map[string][]Member{}
	for _, members := range [][]Member{
		nil, {{"a", 1}}, {{"a", 2}}, {{"b", 1}}, {{"ab", 1}}, {{"a", 1}, {"b", 1}}, {{"a", 1}, {"b", 2}}, {{"a", 2}, {"b", 1}},
		{{"a 1\n1 b", 1}}, {{"a", 11}}, {{"a 1", 1}},
	} {
		f := Fingerprint(members)
		if other, ok := seen[f]; ok {
			t.Errorf("%v and %v have the fingerprint %s", members, other, f)
		}
		seen[f] = members
	}
}

func TestOwnerDoesNotAllocate(t *testing.T) {
	r := mustNew(t, names(100))
	keys := append(realisticKeys(4), "ü\xff")
	if n := testing.AllocsPerRun(100, func() {
		for _, key := range keys {
			if _, ok := r.Owner(key); !ok {
				t.Fatal("no owner")
			}
		}
	}); n != 0 {
		t.Errorf("Owner allocates %v times", n)
	}
}

func ExampleRing_Owner() {
	r, err := New(Member{Name: "shard-a"}, Member{Name: "shard-b"}, Member{Name: "shard-c"})
	if err != nil {
		panic(err)
	}
	owner, ok := r.Owner("apps/Deployment/default/web")
	fmt.Println(owner, ok)
	// Output: shard-c true
}
