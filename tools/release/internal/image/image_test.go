package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/clusterring/clusterring/tools/release/internal/source"
)

var (
	commit   = source.Source{Version: "v1.2.3", Revision: "abcdef", Time: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)}
	platform = v1.Platform{OS: "linux", Architecture: "arm64"}
)

func newImage(t *testing.T, architecture string) v1.Image {
	t.Helper()
	image, err := New(commit, v1.Platform{OS: "linux", Architecture: architecture},
		File{Name: "sharder", Executable: true, Content: []byte("program for " + architecture)}, File{Name: "LICENSE", Content: []byte("free")})
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func newIndex(t *testing.T) v1.ImageIndex {
	t.Helper()
	index, err := Index(commit, newImage(t, "amd64"), newImage(t, "arm64"))
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func digest(t *testing.T, of interface{ Digest() (v1.Hash, error) }) v1.Hash {
	t.Helper()
	d, err := of.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestImage(t *testing.T) {
	image := newImage(t, "arm64")
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != "linux" || config.Architecture != "arm64" || !config.Created.Time.Equal(commit.Time) {
		t.Errorf("the image is for %s/%s, created %s", config.OS, config.Architecture, config.Created)
	}
	want := v1.Config{User: "65532:65532", Entrypoint: []string{"/sharder"}, WorkingDir: "/", Labels: annotations(commit)}
	if diff := cmp.Diff(want, config.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Annotations["org.opencontainers.image.version"] != "v1.2.3" || manifest.Annotations["org.opencontainers.image.revision"] != "abcdef" {
		t.Errorf("annotations are %v", manifest.Annotations)
	}
	type file struct {
		Name, Content string
		Mode          int64
		UID           int
	}
	var files []file
	for r := tar.NewReader(mutate.Extract(image)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{header.Name, string(content), header.Mode, header.Uid})
	}
	wantFiles := []file{{"sharder", "program for arm64", 0o555, 0}, {"LICENSE", "free", 0o444, 0}}
	if diff := cmp.Diff(wantFiles, files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestReproducible(t *testing.T) {
	first, second := newIndex(t), newIndex(t)
	if digest(t, first) != digest(t, second) {
		t.Errorf("the digests of two indexes of the same programs are %s and %s", digest(t, first), digest(t, second))
	}
	ref, err := Ref("example/sharder", "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	var archives [2]bytes.Buffer
	for i, index := range []v1.ImageIndex{first, second} {
		if err := WriteArchive(&archives[i], index, ref); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0].Bytes(), archives[1].Bytes()) {
		t.Error("the archives of two indexes of the same programs differ")
	}
}

// TestArchive reads the archive in both ways in which runtimes do.
func TestArchive(t *testing.T) {
	ref, err := Ref("example/sharder", "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	index := newIndex(t)
	path := filepath.Join(t.TempDir(), "sharder.tar")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := WriteArchive(file, index, ref); err != nil {
		t.Fatal(err)
	}

	t.Run("OCI", func(t *testing.T) {
		outer, err := layout.ImageIndexFromPath(unpack(t, path))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(outer); err != nil {
			t.Error(err)
		}
		manifest, err := outer.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		if len(manifest.Manifests) != 1 || manifest.Manifests[0].Digest != digest(t, index) {
			t.Fatalf("the layout has %v, want the index %s", manifest.Manifests, digest(t, index))
		}
		names := manifest.Manifests[0].Annotations
		if name := names["io.containerd.image.name"]; !strings.HasSuffix(name, "/example/sharder:v1.2.3") {
			t.Errorf("the name for containerd is %q, want it with a registry", name)
		}
		if name := names["org.opencontainers.image.ref.name"]; name != "v1.2.3" {
			t.Errorf("the name is %q", name)
		}
	})
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run("Docker, "+arch, func(t *testing.T) {
			tag, err := name.NewTag("example/sharder:v1.2.3-" + arch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := tarball.ImageFromPath(path, &tag)
			if err != nil {
				t.Fatal(err)
			}
			want, err := newImage(t, arch).ConfigName()
			if err != nil {
				t.Fatal(err)
			}
			if config, err := got.ConfigName(); config != want {
				t.Errorf("the image is %s (%v), want %s", config, err, want)
			}
			if err := validate.Image(got); err != nil {
				t.Error(err)
			}
		})
	}
}

// unpack unpacks the tar file into a directory.
func unpack(t *testing.T, path string) string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	dir := t.TempDir()
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPush(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // no credentials of whoever runs the tests
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repository := strings.TrimPrefix(server.URL, "http://") + "/example/sharder"
	ref, err := Ref(repository, "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	index := newIndex(t)
	if err := Push(t.Context(), index, ref); err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{repository + ":v1.2.3", repository + "@" + digest(t, index).String()} {
		parsed, err := name.ParseReference(reference)
		if err != nil {
			t.Fatal(err)
		}
		pulled, err := remote.Index(parsed)
		if err != nil {
			t.Fatal(err)
		}
		if digest(t, pulled) != digest(t, index) {
			t.Errorf("%s is %s, want %s", reference, digest(t, pulled), digest(t, index))
		}
		if err := validate.Index(pulled); err != nil {
			t.Error(err)
		}
		// What a kubelet on such a machine gets.
		image, err := remote.Image(parsed, remote.WithPlatform(platform))
		if err != nil {
			t.Fatal(err)
		}
		if want := digest(t, newImage(t, platform.Architecture)); digest(t, image) != want {
			t.Errorf("%s is %s for %s, want %s", reference, digest(t, image), platform, want)
		}
	}
}

func TestNames(t *testing.T) {
	for name, tc := range map[string]struct {
		image, version string
		want           string // an error, or nothing
	}{
		"plain":          {"clusterring/sharder", "v1.2.3", ""},
		"with registry":  {"127.0.0.1:5000/a/b", "v1.2.3", ""},
		"with tag":       {"clusterring/sharder:latest", "v1.2.3", "without a tag"},
		"capitals":       {"clusterring/Sharder", "v1.2.3", "lowercase"},
		"empty":          {"", "v1.2.3", "invalid reference"},
		"build metadata": {"clusterring/sharder", "v1.2.3+x", "cannot be the tag"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Ref(tc.image, tc.version)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Ref(%q, %q) error = %v, want %q", tc.image, tc.version, err, tc.want)
			}
		})
	}
	for image, want := range map[string]bool{
		"clusterring/sharder": false, "sharder": false, "127.0.0.1:5000/sharder": true, "registry.example.com/a/b": true,
	} {
		if err := HasRegistry(image); (err == nil) != want {
			t.Errorf("HasRegistry(%q) = %v", image, err)
		}
	}
}
