package trial

import (
	"os"
	"path/filepath"
	"testing"
)

// TestRevision: programs that were built without a revision are told apart by what is in them.
func TestRevision(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"operator": "1", "sharder": "2", "other": "3"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name) }
	both := revision(path("operator"), path("sharder"))
	if again := revision(path("operator"), path("sharder"), path("none")); again != both {
		t.Errorf("the same programs are %q and %q", both, again)
	}
	if other := revision(path("operator"), path("other")); other == both {
		t.Errorf("different programs are both %q", both)
	}
}
