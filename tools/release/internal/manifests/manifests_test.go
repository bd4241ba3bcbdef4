package manifests

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const (
	config = "../../../../config"
	digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
)

func render(t *testing.T) (install, crds string) {
	t.Helper()
	named, err := reference.ParseNormalizedNamed("registry.example.com/team/sharder:v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	a, b, err := Render(config, named.(reference.NamedTagged), digest)
	if err != nil {
		t.Fatal(err)
	}
	return string(a), string(b)
}

// TestInstall: install.yaml is what kustomize, and kubectl where there is one, make of the manifests, but for the image.
func TestInstall(t *testing.T) {
	install, _ := render(t)
	const name = "image: registry.example.com/team/sharder:v1.2.3@" + digest
	if n := strings.Count(install, name); n != 1 {
		t.Fatalf("%q is in install.yaml %d times, want once", name, n)
	}
	install = strings.Replace(install, name, "image: "+imageName+":latest", 1)
	t.Run("kustomize", func(t *testing.T) {
		options := krusty.MakeDefaultOptions()
		options.Reorder = krusty.ReorderOptionLegacy
		all, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), config)
		if err != nil {
			t.Fatal(err)
		}
		want, err := all.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), install); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("kubectl", func(t *testing.T) {
		kubectl, err := exec.LookPath("kubectl")
		if err != nil {
			t.Skip("needs kubectl")
		}
		want, err := exec.CommandContext(t.Context(), kubectl, "kustomize", config).Output()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(bytes.TrimSpace(want)), strings.TrimSpace(install)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestCRDs: crds.yaml has the CustomResourceDefinitions as install.yaml has them, and nothing else.
func TestCRDs(t *testing.T) {
	install, crds := render(t)
	var want []string
	for document := range strings.SplitSeq(install, "\n---\n") {
		if strings.Contains(document, "\nkind: CustomResourceDefinition\n") {
			want = append(want, document)
		}
	}
	if diff := cmp.Diff(want, strings.Split(strings.TrimSuffix(crds, "\n"), "\n---\n")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRenderErrors(t *testing.T) {
	named, err := reference.ParseNormalizedNamed("a/b:c")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Render(t.TempDir(), named.(reference.NamedTagged), digest); err == nil {
		t.Error("Render of an empty directory succeeds")
	}
}
