package main

import (
	"encoding/json"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const shardPackage = "github.com/clusterring/clusterring/pkg/shard"

// TestReadmeShowsSharding takes away what README.md says was added for sharding. What is left must be a controller that
// compiles and knows nothing of shards.
func TestReadmeShowsSharding(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```diff\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		header, hunks, _ := strings.Cut(block[1], "\n")
		file := strings.TrimPrefix(header, "+++ ")
		if _, ok := sources[file]; !ok {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources[file] = string(source)
		}
		for _, hunk := range strings.Split(hunks, "@@\n")[1:] {
			sources[file] = revert(t, file, sources[file], hunk)
		}
	}
	if len(sources) == 0 {
		t.Fatal("README.md has no diff")
	}

	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for file, source := range sources {
		reverted := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(reverted, dropUnusedImports(t, file, source), 0o600); err != nil {
			t.Fatal(err)
		}
		absolute, err := filepath.Abs(file)
		if err != nil {
			t.Fatal(err)
		}
		overlay.Replace[absolute] = reverted
	}
	data, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(overlayFile, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"go", "build", "-overlay=" + overlayFile, "-o", os.DevNull, "."},
		{"go", "list", "-overlay=" + overlayFile, "-deps", "."},
	} {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
		}
		for dep := range strings.Lines(string(out)) {
			if strings.HasPrefix(dep, shardPackage) {
				t.Errorf("without what README.md shows, the program still depends on %s", dep)
			}
		}
	}
}

// revert undoes a hunk of a diff without line numbers. What it shows must be in the source exactly once.
func revert(t *testing.T, file, source, hunk string) string {
	t.Helper()
	var before, after strings.Builder
	for line := range strings.Lines(hunk) {
		switch line[0] {
		case ' ':
			before.WriteString(line[1:])
			after.WriteString(line[1:])
		case '+':
			after.WriteString(line[1:])
		case '-':
			before.WriteString(line[1:])
		default:
			t.Fatalf("%s: %q is no line of a diff", file, line)
		}
	}
	if n := strings.Count(source, after.String()); n != 1 {
		t.Fatalf("README.md shows what %s has %d times, want once:\n%s", file, n, after.String())
	}
	return strings.Replace(source, after.String(), before.String(), 1)
}

var version = regexp.MustCompile(`^v[0-9]+$`)

// dropUnusedImports removes the imports that only sharding needs.
func dropUnusedImports(t *testing.T, file, source string) []byte {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, source, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, decl := range parsed.Decls {
		imports, ok := decl.(*ast.GenDecl)
		if !ok || imports.Tok != token.IMPORT {
			continue
		}
		imports.Specs = slices.DeleteFunc(imports.Specs, func(spec ast.Spec) bool {
			imported, err := strconv.Unquote(spec.(*ast.ImportSpec).Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			name := path.Base(imported)
			if version.MatchString(name) {
				name = path.Base(path.Dir(imported))
			}
			if alias := spec.(*ast.ImportSpec).Name; alias != nil {
				name = alias.Name
			}
			return !regexp.MustCompile(`\b` + name + `\.`).MatchString(source)
		})
	}
	var out strings.Builder
	if err := format.Node(&out, fset, parsed); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}
