package manifests

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	dir := t.TempDir()
	for file, content := range map[string]string{
		"a.yaml":     "kind: A\n---\n# nothing\n---\nkind: B\n---\nkind: Pod\n",
		"sub/c.yaml": "kind: C\n",
		"README.md":  "kind: Not",
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	objects, err := Read(func(kind string) bool { return kind != "Pod" }, dir, filepath.Join(dir, "sub", "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, o := range objects {
		kinds = append(kinds, o.GetKind())
	}
	if diff := cmp.Diff([]string{"A", "B", "C", "C"}, kinds); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("kind: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{broken, filepath.Join(dir, "missing.yaml")} {
		if _, err := Read(nil, path); err == nil {
			t.Errorf("Read(%s) succeeded", filepath.Base(path))
		}
	}
}
