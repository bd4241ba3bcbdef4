package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/clusterring/clusterring"

// A rule forbids the packages under from to depend, directly or not, on packages under to. Tests are free.
type rule struct{ from, to, reason string }

var rules = []rule{
	{"pkg/apis", "pkg", "the API stands alone"},
	{"pkg/ring", "pkg", "it is below everything else"},
	{"pkg/wire", "pkg/shard", "it is the contract below both sides"},
	{"pkg/wire", "pkg/sharder", "it is the contract below both sides"},
	{"pkg/wire", "k8s.io/client-go", "it reads and writes values and does no I/O"},
	{"pkg/partition", "pkg/shard", "imports point downward"},
	{"pkg/partition", "pkg/sharder", "imports point downward"},
	{"pkg/partition", "k8s.io/client-go", "it decides purely and does no I/O"},
	{"pkg/membership", "pkg/shard", "imports point downward"},
	{"pkg/membership", "pkg/sharder", "imports point downward"},
	{"pkg/membership", "k8s.io/client-go", "it decides purely and does no I/O"},
	{"pkg/shard", "pkg/sharder", "a sharded controller must not carry the sharder"},
	{"pkg", "tools", "imports point downward"},
	{"pkg", "sample-controller", "imports point downward"},
	{"sample-controller", "pkg/sharder", "a sharded controller must not carry the sharder"},
}

// banned must not appear anywhere in the main module, tests included.
var banned = map[string]string{
	"sigs.k8s.io/controller-runtime": "the library is for plain client-go, and brings no other framework with it",
	"k8s.io/kubernetes":              "all of Kubernetes belongs into the nested module tools/devcluster",
	"k8s.io/apiserver":               "the API server belongs into the nested module tools/devcluster",
	"github.com/stretchr/testify":    "tests compare with cmp.Diff",
}

// direct are the modules that the main module may require, and what for. Everybody who uses the library inherits them.
var direct = map[string]string{
	"github.com/google/go-cmp":            "tests",
	"github.com/prometheus/client_golang": "metrics",
	"github.com/spf13/pflag":              "command lines",
	"go.uber.org/goleak":                  "tests",
	"k8s.io/api":                          "Kubernetes",
	"k8s.io/apimachinery":                 "Kubernetes",
	"k8s.io/client-go":                    "Kubernetes",
	"k8s.io/klog/v2":                      "logs",
	"k8s.io/utils":                        "Kubernetes",
	"sigs.k8s.io/json":                    "configuration files, with errors that name the field in full",
	"sigs.k8s.io/yaml":                    "configuration and manifests",

	"github.com/prometheus/client_model":   "tests read metrics",
	"golang.org/x/sync":                    "errgroup",
	"golang.org/x/sys":                     "system calls",
	"sigs.k8s.io/structured-merge-diff/v6": "the generated apply configurations",
	"gopkg.in/evanphx/json-patch.v4":       "tests apply the patches that admission answers with",
	"k8s.io/kube-openapi":                  "the generated apply configurations",
}

func TestImports(t *testing.T) {
	for _, p := range list(t, "./...") {
		for _, r := range rules {
			from, to := inModule(r.from), inModule(r.to)
			if !under(p.ImportPath, from) {
				continue
			}
			for _, dep := range p.Deps {
				if under(dep, to) && !under(dep, from) {
					t.Errorf("%s depends on %s: %s", p.ImportPath, dep, r.reason)
				}
			}
		}
	}
}

// TestRingIsSelfContained: pkg/ring can be copied into any project.
func TestRingIsSelfContained(t *testing.T) {
	for _, p := range list(t, "-deps", "./pkg/ring") {
		if !p.Standard && p.ImportPath != inModule("pkg/ring") {
			t.Errorf("pkg/ring depends on %s: it needs nothing but the standard library", p.ImportPath)
		}
	}
}

func TestBanned(t *testing.T) {
	for _, p := range list(t, "-deps", "-test", "./...") {
		for path, reason := range banned {
			if under(p.ImportPath, path) {
				t.Errorf("the main module depends on %s: %s", p.ImportPath, reason)
			}
		}
	}
}

func TestRequirements(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(run(t, "go", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Require {
		if _, ok := direct[r.Path]; !ok && !r.Indirect {
			t.Errorf("go.mod requires %s: everybody who uses the library inherits that. Do without, or say in this test what it is for", r.Path)
		}
	}
}

// goPackage is what `go list -json` tells of a package.
type goPackage struct {
	ImportPath string
	Standard   bool
	Deps       []string
}

func list(t *testing.T, args ...string) []goPackage {
	t.Helper()
	out := run(t, "go", slices.Concat([]string{"list", "-json=ImportPath,Standard,Deps"}, args)...)
	var packages []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// run runs a command in the root of the repository and returns what it prints.
func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	return out
}

// inModule returns the import path of a directory of ours; what has a domain is an import path already.
func inModule(path string) string {
	if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") {
		return path
	}
	return module + "/" + path
}

// under tells whether path is the parent or below it.
func under(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}
