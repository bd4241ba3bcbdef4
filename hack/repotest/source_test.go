package repotest

import (
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strings"
	"testing"
)

// maxLines is where a file is certainly two things.
const maxLines = 500

// TestPackageComments: every package says in one comment what it is for.
func TestPackageComments(t *testing.T) {
	comments := map[string][]string{}
	for file, text := range goFiles(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		dir := path.Dir(file)
		comments[dir] = append(comments[dir], "")[:len(comments[dir])]
		if parsed.Doc == nil {
			continue
		}
		comments[dir] = append(comments[dir], file)
		if name := parsed.Name.Name; name != "main" && !strings.HasPrefix(parsed.Doc.Text(), "Package "+name+" ") {
			t.Errorf("%s: the package comment must start with %q", file, "Package "+name)
		}
	}
	for dir, in := range comments {
		switch len(in) {
		case 0:
			t.Errorf("%s: the package has no comment that says what it is for", dir)
		case 1:
		default:
			t.Errorf("%s: the package has several comments, in %s: keep one", dir, strings.Join(in, ", "))
		}
	}
}

// TestFileLength: no file that is written by hand has become too long to be read as one thing.
func TestFileLength(t *testing.T) {
	for file, text := range goFiles(t) {
		if lines := strings.Count(text, "\n"); lines > maxLines {
			t.Errorf("%s: %d lines, more than %d: split it", file, lines, maxLines)
		}
	}
}

// TestMachinePaths: nothing in the tree knows where on somebody's machine it was written.
func TestMachinePaths(t *testing.T) {
	paths := regexp.MustCompile(`(?m)(^|[\s"'=(:,` + "`" + `])/(work|tmp|root|home|Users)/`)
	binary := func(text string) bool { return strings.ContainsRune(text[:min(len(text), 8000)], 0) }
	for file, text := range files(t, func(string) bool { return true }) {
		if binary(text) {
			continue
		}
		for _, at := range paths.FindAllStringIndex(text, -1) {
			t.Errorf("%s:%d: a path of one machine: %q", file, line(text, at[1]), strings.TrimSpace(text[at[0]:at[1]]))
		}
	}
}
