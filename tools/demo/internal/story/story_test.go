package story

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestShares(t *testing.T) {
	for name, test := range map[string]struct {
		shares []Share
		pen    Pen
		fancy  bool
		want   string
	}{
		"plain": {
			shares: []Share{
				{Shard: "shard-a", Foos: 90, Deployments: 90, Ideal: 100},
				{Shard: "shard-b", Foos: 110, Deployments: 109, Ideal: 100},
				{Shard: "shard-c", Note: "gone"},
			},
			want: `
  shard      Foos  Deployments  of ideal
  shard-a      90           90      90 %  #############################    |
  shard-b     110          109     110 %  #################################|##
  shard-c       0            0            gone
`,
		},
		"fancy, without colours": {
			shares: []Share{{Shard: "a", Foos: 1, Ideal: 2}, {Shard: "b", Foos: 3, Ideal: 2}},
			fancy:  true,
			want: `
  shard    Foos  Deployments  of ideal
  a           1            0      50 %  ████████████            ┃
  b           3            0     150 %  ████████████████████████┃███████████
`,
		},
		"nothing there yet": {
			shares: []Share{{Shard: "a"}},
			want: `
  shard    Foos  Deployments  of ideal
  a           0            0
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(renderShares(test.shares, test.pen, test.fancy), "\n")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("table (-want +got):\n%s", diff)
			}
		})
	}
}

func TestColoursTakeNoColumns(t *testing.T) {
	shares := []Share{{Shard: "shard-a", Foos: 90, Ideal: 100}, {Shard: "shard-b", Foos: 110, Ideal: 100, Note: "gone"}}
	plain, coloured := renderShares(shares, Pen{}, true), renderShares(shares, Pen{Color: true}, true)
	for i := range coloured {
		if got, want := escape.ReplaceAllString(coloured[i], ""), plain[i]; got != want {
			t.Errorf("line %d without colours: %q, want %q", i, got, want)
		}
	}
}

func TestBarStaysInBounds(t *testing.T) {
	for value := range 101 {
		for _, fancy := range []bool{false, true} {
			if got := length(bar(float64(value), 50, 100, barWidth, fancy)); got > barWidth+1 {
				t.Errorf("bar of %d (fancy %v) takes %d columns, want at most %d", value, fancy, got, barWidth+1)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"fits":      {text: "one two", want: []string{"one two"}},
		"wraps":     {text: "one two three\nfour", want: []string{"one two", "three four"}},
		"long word": {text: "a verylongwordindeed b", want: []string{"a", "verylongwordindeed", "b"}},
		"colours":   {text: "\x1b[1mone\x1b[0m two six", want: []string{"\x1b[1mone\x1b[0m two", "six"}},
		"empty":     {want: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, Wrap(test.text, 10)); diff != "" {
				t.Errorf("Wrap (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlainOutputHasNoEscapes(t *testing.T) {
	var b strings.Builder
	teller := New(&b, false)
	teller.Chapter("A title", "What happens.")
	stop := teller.Live(func() string { return "under way" })
	teller.Fact("%d of %d", 1, 2)
	teller.Verdict(false, "a check", "why")
	stop()
	want := `
1  A title ` + strings.Repeat("-", Width-len("1  A title ")) + `
What happens.

  * 1 of 2
  FAIL  a check
          why
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestLiveLine(t *testing.T) {
	if got, want := liveLine(0, "moving", 1500*time.Millisecond), "  ⠋ moving  1.5 s"; got != want {
		t.Errorf("liveLine: %q, want %q", got, want)
	}
	if got := length(liveLine(3, strings.Repeat("x", 200), 0)); got >= Width {
		t.Errorf("long live line takes %d columns, want less than %d", got, Width)
	}
}

func TestFancyOnlyOnTerminals(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv("TERM", "xterm")
	if Fancy(f) {
		t.Error("a file counts as a terminal")
	}
}
