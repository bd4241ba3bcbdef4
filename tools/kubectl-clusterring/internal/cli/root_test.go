package cli_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

type report struct {
	Name string `json:"name"`
}

func (r report) Text(p *text.Printer) { p.Line("It is %s.", r.Name) }

// command returns a command x that prints a report and fails with err.
func command(err error) func(*cli.Options) *cobra.Command {
	return func(o *cli.Options) *cobra.Command {
		return &cobra.Command{Use: "x", RunE: func(*cobra.Command, []string) error { return errors.Join(o.Print(report{"a"}), err) }}
	}
}

func TestRun(t *testing.T) {
	tests := map[string]struct {
		args   []string
		err    error
		out    string // its beginning
		status int
	}{
		"table":          {args: []string{"x"}, out: "It is a.\n"},
		"json":           {args: []string{"x", "-o", "json"}, out: "{\n  \"name\": \"a\"\n}\n"},
		"yaml":           {args: []string{"x", "--output=yaml"}, out: "name: a\n"},
		"unknown format": {args: []string{"x", "-o", "wide"}, out: "error: --output=wide: must be one of table, json, yaml\n", status: 1},
		"error":          {args: []string{"x"}, err: errors.New("no"), out: "It is a.\nerror: no\n", status: 1},
		"findings":       {args: []string{"x"}, err: cli.ErrFound, out: "It is a.\n", status: 1},
		"unknown flag":   {args: []string{"x", "--y"}, out: "error: unknown flag: --y\n", status: 1},
		"no command":     {out: "Ask the rings of a cluster what they do, and why.\n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			out, status := clitest.New(t).Run(t.Context(), command(tt.err), tt.args...)
			if len(out) > len(tt.out) && name == "no command" {
				out = out[:len(tt.out)]
			}
			if diff := cmp.Diff(tt.out, out); diff != "" || status != tt.status {
				t.Errorf("status %d, output (-want +got):\n%s", status, diff)
			}
		})
	}
}

// TestInterrupt: Ctrl-C is no error to tell of.
func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if out, status := clitest.New(t).Run(ctx, command(context.Canceled), "x"); status != 130 || strings.Contains(out, "error") {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestCompletionArgs(t *testing.T) {
	for called, want := range map[string]string{
		"a/kubectl-clusterring": "status x", "a/kubectl_complete-clusterring": "__complete status x",
	} {
		if got := strings.Join(cli.CompletionArgs([]string{called, "status", "x"}), " "); got != want {
			t.Errorf("%s: %s, want %s", called, got, want)
		}
	}
}
