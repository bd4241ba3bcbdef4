package repotest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the root of the repository, seen from this package.
const root = "../.."

// skipped are directories with nothing of ours in them. In a linked worktree .git is a file.
var skipped = map[string]bool{".git": true, "bin": true, "dist": true, "_artifacts": true}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// files returns the text of all files of the repository whose path matches, by path relative to the root.
func files(t *testing.T, match func(path string) bool) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if skipped[rel] && d.IsDir() {
			return filepath.SkipDir
		}
		if skipped[rel] || d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() || !match(rel) {
			return nil
		}
		text, err := os.ReadFile(path)
		found[rel] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatal("no files found")
	}
	return found
}

// goFiles returns the Go files that are written by hand.
func goFiles(t *testing.T) map[string]string {
	t.Helper()
	found := files(t, func(path string) bool { return strings.HasSuffix(path, ".go") })
	for path, text := range found {
		if generated.MatchString(text) {
			delete(found, path)
		}
	}
	return found
}

// line returns the number of the line at the offset.
func line(text string, offset int) int {
	return strings.Count(text[:offset], "\n") + 1
}
