package text_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

// TestTable: columns are aligned whatever the colours, end without spaces, and vanish when they are empty.
func TestTable(t *testing.T) {
	for color, want := range map[bool]string{
		false: "NAME     SLOTS\n▏a       1\nlonger\n",
		true:  "\x1b[2mNAME\x1b[0m     \x1b[2mSLOTS\x1b[0m\n\x1b[32m▏a\x1b[0m       1\nlonger\n",
	} {
		p := &text.Printer{Color: color}
		p.Table([]string{"NAME", "EMPTY", "SLOTS"}, [][]text.Cell{
			{{"▏a", text.Good}, {}, {"1", text.Plain}},
			{{"longer", text.Plain}},
		})
		var b strings.Builder
		if _, err := p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, b.String()); diff != "" {
			t.Errorf("colours %v (-want +got):\n%s", color, diff)
		}
	}
}

func TestWrapped(t *testing.T) {
	p := &text.Printer{Width: 45}
	p.Wrapped("why: ", "one two three four five six seven eight nine ten", text.Plain)
	var b strings.Builder
	if _, err := p.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("why: one two three four five six seven eight\n     nine ten\n", b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBar(t *testing.T) {
	for share, want := range map[float64]string{0: "", 0.5: "█████", 1: "██████████", 2: "██████████", 0.0125: "▏", 0.25: "██▌"} {
		if got := text.Bar(share, 10); got != want {
			t.Errorf("%v: %q, want %q", share, got, want)
		}
	}
}
