package repotest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var (
	fence      = regexp.MustCompile("(?ms)^[ \t]*(```+|~~~+)[^\n]*\n(.*?)^[ \t]*(```+|~~~+)[ \t]*$")
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	link       = regexp.MustCompile(`\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)|(?m)^\[[^\]]+\]:\s+(\S+)|(?:href|src|srcset)="([^"]+)"`)
	heading    = regexp.MustCompile(`(?m)^#{1,6}\s+(.+?)\s*#*\s*$`)
	anchorTag  = regexp.MustCompile(`<a\s+(?:id|name)="([^"]+)"`)
	linkText   = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	makeCall   = regexp.MustCompile("(?:^|[\\s`;&|])make +((?:[a-z][a-z/-]*[ \t]*)+)")
	makeTarget = regexp.MustCompile(`(?m)^([a-z][a-z/-]*):.*##`)
	program    = regexp.MustCompile(`(?:^|\s|/)bin/(sharder|sample-controller|webhosting-operator|demo|bench|experiment|devcluster|release|kubectl-clusterring)\b(.*)`)
	flag       = regexp.MustCompile(`(?:^|\s|\[)--([a-z][a-z0-9-]*)`)
)

func documents(t *testing.T) map[string]string {
	t.Helper()
	return files(t, func(path string) bool { return strings.HasSuffix(path, ".md") })
}

// TestLinks: what the documentation links to in the repository exists, headings included.
func TestLinks(t *testing.T) {
	docs := documents(t)
	anchors := map[string]map[string]bool{}
	for file, text := range docs {
		anchors[file] = anchorsOf(text)
	}
	for file, text := range docs {
		text = blank(inlineCode, blank(fence, text))
		for _, at := range link.FindAllStringSubmatchIndex(text, -1) {
			target := submatch(text, at)
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			to, anchor, _ := strings.Cut(target, "#")
			if to == "" {
				to = file
			} else {
				to = path.Join(path.Dir(file), to)
			}
			if strings.HasPrefix(target, "/") || strings.HasPrefix(to, "..") {
				t.Errorf("%s:%d: %s is not a relative path inside the repository", file, line(text, at[0]), target)
				continue
			}
			if _, err := os.Stat(filepath.Join(root, to)); err != nil {
				t.Errorf("%s:%d: %s does not exist", file, line(text, at[0]), target)
				continue
			}
			if anchor != "" && anchors[to] != nil && !anchors[to][anchor] {
				t.Errorf("%s:%d: %s has no heading #%s", file, line(text, at[0]), to, anchor)
			}
		}
	}
}

// TestIndex: everything in docs/ can be found from its index.
func TestIndex(t *testing.T) {
	docs := documents(t)
	const index = "docs/README.md"
	for file := range docs {
		if path.Dir(file) == "docs" && file != index && !strings.Contains(docs[index], "("+path.Base(file)) {
			t.Errorf("%s does not link to %s", index, file)
		}
	}
}

// TestMakeTargets: every make target that the documentation names exists.
func TestMakeTargets(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, match := range makeTarget.FindAllStringSubmatch(string(makefile), -1) {
		targets[match[1]] = true
	}
	for file, text := range documents(t) {
		for _, code := range codeOf(text) {
			for _, match := range makeCall.FindAllStringSubmatch(code, -1) {
				for _, target := range strings.Fields(match[1]) {
					if !targets[target] {
						t.Errorf("%s: make has no target %q", file, target)
					}
				}
			}
		}
	}
}

// TestFlags: every flag in a command line of one of our programs is in some program's source.
func TestFlags(t *testing.T) {
	var source strings.Builder
	for _, text := range goFiles(t) {
		source.WriteString(text)
	}
	for file, text := range documents(t) {
		for _, code := range codeOf(strings.ReplaceAll(text, "\\\n", " ")) {
			for _, command := range strings.Split(code, "\n") {
				match := program.FindStringSubmatch(command)
				if match == nil {
					continue
				}
				for _, f := range flag.FindAllStringSubmatch(match[2], -1) {
					if !strings.Contains(source.String(), `"`+f[1]+`"`) {
						t.Errorf("%s: bin/%s has no flag --%s", file, match[1], f[1])
					}
				}
			}
		}
	}
}

// codeOf returns the code blocks and the inline code of a document.
func codeOf(text string) []string {
	var code []string
	for _, match := range fence.FindAllStringSubmatch(text, -1) {
		code = append(code, match[2])
	}
	return append(code, inlineCode.FindAllString(blank(fence, text), -1)...)
}

// anchorsOf returns the anchors that GitHub gives the headings of a document.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	text = blank(fence, text)
	for _, match := range anchorTag.FindAllStringSubmatch(text, -1) {
		anchors[match[1]] = true
	}
	for _, match := range heading.FindAllStringSubmatch(text, -1) {
		anchor := slug(match[1])
		for n, base := 1, anchor; anchors[anchor]; n++ {
			anchor = base + "-" + string(rune('0'+n))
		}
		anchors[anchor] = true
	}
	return anchors
}

func slug(heading string) string {
	heading = linkText.ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, heading)
}

// blank replaces what matches by spaces, so that lines keep their numbers.
func blank(re *regexp.Regexp, text string) string {
	return re.ReplaceAllStringFunc(text, func(s string) string {
		return strings.Map(func(r rune) rune {
			if r == '\n' {
				return r
			}
			return ' '
		}, s)
	})
}

// submatch returns the first group that took part in a match.
func submatch(text string, at []int) string {
	for i := 2; i < len(at); i += 2 {
		if at[i] >= 0 {
			return text[at[i]:at[i+1]]
		}
	}
	return ""
}
