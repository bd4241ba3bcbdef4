package repotest

import (
	"go/parser"
	"go/token"
	"path"
	"strconv"
	"testing"
)

// old is the protocol in which a label names the shard of an object. It goes when nothing imports it any more, and this file
// with it.
const old = "internal/old"

// remaining are the packages outside of old that still import it, in the nested modules, too. The list only gets shorter.
var remaining = map[string]bool{
	"examples/internal/stage":              true,
	"examples/webhosting":                  true,
	"examples/webhosting/internal/sharder": true,
	"examples/webhosting/internal/website": true,
	"internal/sim":                         true,
	"tools/experiment/internal/trial":      true,
}

// TestOld: nothing new imports the old protocol, tests included, and what has stopped importing it leaves the list.
func TestOld(t *testing.T) {
	importers := map[string]string{}
	for file, text := range goFiles(t) {
		dir := path.Dir(file)
		if under(dir, old) {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, spec := range parsed.Imports {
			if imported, err := strconv.Unquote(spec.Path.Value); err == nil && under(imported, inModule(old)) {
				importers[dir] = file
			}
		}
	}
	for dir, file := range importers {
		if !remaining[dir] {
			t.Errorf("%s imports %s, which will be deleted: use pkg/ring, pkg/wire, pkg/shard or pkg/sharder", file, old)
		}
	}
	for dir := range remaining {
		if importers[dir] == "" {
			t.Errorf("%s does not import %s any more: remove it from the list in this test", dir, old)
		}
	}
}
