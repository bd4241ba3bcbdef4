package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/pkg/sharder/config"
)

// FuzzParse reads the lines of a text as arguments. A configuration that is not valid is refused with the flags that are
// wrong, and flags mean the same when there is a file besides, over which they win.
func FuzzParse(f *testing.F) {
	file := filepath.Join(f.TempDir(), "sharder.yaml")
	content := "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Add("")
	f.Add("--kube-api-burst=5\n-v=4\n--vmodule=a=1,b*=2,")
	f.Add("--shard-grace\n1m\n--profiling=false\n--webhook-url=https://127.0.0.1:9443")
	f.Fuzz(func(t *testing.T, lines string) {
		args := strings.Split(lines, "\n")
		if slices.ContainsFunc(args, func(arg string) bool {
			return strings.HasPrefix(arg, "--config") || strings.HasPrefix(arg, "--tls-")
		}) {
			return // What files there are is not up to the input.
		}
		got, err := parse(args, textlogger.NewConfig(), io.Discard)
		again, errAgain := parse(slices.Concat([]string{"--config=" + file}, args), textlogger.NewConfig(), io.Discard)
		if (err == nil) != (errAgain == nil) || errors.Is(err, errAnswered) != errors.Is(errAgain, errAnswered) {
			t.Fatalf("without a file: %v\nwith an empty one: %v", err, errAgain)
		}
		if err == nil {
			if diff := cmp.Diff(got, again); diff != "" {
				t.Errorf("an empty file changes the configuration:\n%s", diff)
			}
			return
		}
		problems, ok := strings.CutPrefix(err.Error(), "the configuration is not valid:\n")
		if !ok {
			return // pflag says what it can't parse.
		}
		for problem := range strings.SplitSeq(problems, "\n") {
			name, _, _ := strings.Cut(problem, ",")
			if name, ok := strings.CutPrefix(name, "  --"); !ok || !isFlag(name) {
				t.Errorf("the problem %q does not name a flag", problem)
			}
		}
	})
}

func isFlag(name string) bool {
	for _, known := range flagOf {
		if known == name {
			return true
		}
	}
	return false
}
