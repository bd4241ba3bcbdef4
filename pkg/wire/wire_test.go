package wire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestContract pins what shards in other languages rely on.
func TestContract(t *testing.T) {
	got := map[string]string{
		"ring":       wire.LabelRing,
		"state":      wire.LabelState,
		"slot":       wire.SlotLabel("foo"),
		"holds":      wire.AnnotationHolds,
		"weight":     wire.AnnotationWeight,
		"word":       wire.FormatHolds(ring.Holds{Revision: 7, Slots: ring.SlotsOf(17, 0, 1, 2, 3)}),
		"empty word": wire.FormatHolds(ring.Holds{Revision: 7}),
		"selector":   wire.SlotSelector("foo", ring.SlotsOf(17, 3)),
		"no slots":   wire.SlotSelector("foo", ring.Slots{}),
		"unlabelled": wire.UnlabelledSelector("foo").String(),
		"durations":  fmt.Sprint(wire.DefaultLeaseDuration, wire.DefaultMaxLeaseDuration, wire.DefaultRebalanceDelay),
	}
	want := map[string]string{
		"ring":       "sharding.clusterring.dev/ring",
		"state":      "sharding.clusterring.dev/state",
		"slot":       "slot.sharding.clusterring.dev/foo",
		"holds":      "sharding.clusterring.dev/holds",
		"weight":     "sharding.clusterring.dev/weight",
		"word":       "7 0-3,17",
		"empty word": "7 ",
		"selector":   "slot.sharding.clusterring.dev/foo in (3,17)",
		"no slots":   "slot.sharding.clusterring.dev/foo in (none)",
		"unlabelled": "!slot.sharding.clusterring.dev/foo",
		"durations":  "15s 1m0s 10s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-published +got):\n%s", diff)
	}
}

func FuzzParseHolds(f *testing.F) {
	for _, value := range []string{"", "1 ", "7 0-3,17", "7", "0 1", "-1 1", "+1 1", "4611686018427387904 ", "9223372036854775808 ", "1  1", "1 1 ", strings.Repeat("9", 9999)} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		h, err := wire.ParseHolds(value)
		if err != nil {
			if h.Revision > wire.MaxRevision || len(err.Error()) > 200 {
				t.Errorf("revision %d, error of %d bytes", h.Revision, len(err.Error()))
			}
			return
		}
		if value == "" {
			return
		}
		if h.Revision < 1 || h.Revision > wire.MaxRevision {
			t.Errorf("%q has revision %d", value, h.Revision)
		}
		if again, err := wire.ParseHolds(wire.FormatHolds(h)); err != nil || again != h {
			t.Errorf("%q gives %v, which gives %v and %v", value, h, again, err)
		}
	})
}

func TestReadTable(t *testing.T) {
	table := func(change func(*v1alpha1.Table)) *v1alpha1.Table {
		t := &v1alpha1.Table{Ring: "r", Revision: 9, Shards: []v1alpha1.TableShard{
			{Name: "a", Lease: "1", Slots: "0-3", Releasing: "2", Since: 8}, {Name: "b", Lease: "2", Slots: "4"},
		}}
		change(t)
		return t
	}
	refused := map[string]func(*v1alpha1.Table){
		"revision 0":               func(t *v1alpha1.Table) { t.Revision = 0 },
		"revision too high":        func(t *v1alpha1.Table) { t.Revision = wire.MaxRevision + 1 },
		"founding with shards":     func(t *v1alpha1.Table) { t.Founding = true },
		"a slot twice":             func(t *v1alpha1.Table) { t.Shards[1].Slots = "3" },
		"a Lease twice":            func(t *v1alpha1.Table) { t.Shards[1].Lease = "1" },
		"no name":                  func(t *v1alpha1.Table) { t.Shards[0].Name = "" },
		"no Lease":                 func(t *v1alpha1.Table) { t.Shards[0].Lease = "" },
		"unreadable slots":         func(t *v1alpha1.Table) { t.Shards[0].Slots = "x" },
		"unreadable releasing":     func(t *v1alpha1.Table) { t.Shards[0].Releasing = "1024" },
		"releases what it has not": func(t *v1alpha1.Table) { t.Shards[0].Releasing = "4" },
		"since after the revision": func(t *v1alpha1.Table) { t.Shards[0].Since = 10 },
		"asked since never":        func(t *v1alpha1.Table) { t.Shards[0].Since = 0 },
		"since below 0":            func(t *v1alpha1.Table) { t.Shards[1].Since = -1 },
	}
	for name, change := range refused {
		t.Run(name, func(t *testing.T) {
			if got, err := wire.ReadTable(table(change)); err == nil || got != nil {
				t.Errorf("got %v and error %v", got, err)
			}
		})
	}
	good := table(func(*v1alpha1.Table) {})
	got, err := wire.ReadTable(good)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, wire.WriteTable(*got)); diff != "" {
		t.Errorf("written otherwise than read (-read +written):\n%s", diff)
	}
	if got, err := wire.ReadTable(nil); got != nil || err != nil {
		t.Errorf("without a table: %v, %v", got, err)
	}
}
