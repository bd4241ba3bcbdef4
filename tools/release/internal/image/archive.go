package image

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// WriteArchive writes an index with its images as a tar file that container runtimes import. It is an OCI layout, in which
// the index has the name that ref says. A manifest.json is there for versions of Docker that know no indexes: they load each
// image under the name with its architecture at the end, such as sharder:v1.2.3-arm64.
func WriteArchive(w io.Writer, index v1.ImageIndex, ref reference.NamedTagged) error {
	descriptor, err := partial.Descriptor(index)
	if err != nil {
		return err
	}
	descriptor.Annotations = map[string]string{
		"io.containerd.image.name":          ref.String(),
		"org.opencontainers.image.ref.name": ref.Tag(),
	}
	a := archive{tar: tar.NewWriter(w), written: map[string]bool{}}
	a.json("oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"})
	a.json("index.json", v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{*descriptor}})
	a.blob(descriptor.Digest, index.RawManifest)

	manifest, err := index.IndexManifest()
	if err != nil {
		return err
	}
	var docker []tarball.Descriptor
	for _, d := range manifest.Manifests {
		image, err := index.Image(d.Digest)
		if err != nil {
			return err
		}
		a.blob(d.Digest, image.RawManifest)
		config, err := image.ConfigName()
		if err != nil {
			return err
		}
		a.blob(config, image.RawConfigFile)
		layers, err := image.Layers()
		if err != nil {
			return err
		}
		entry := tarball.Descriptor{
			Config: blobPath(config), RepoTags: []string{reference.FamiliarString(ref) + "-" + d.Platform.Architecture},
		}
		for _, layer := range layers {
			digest, err := layer.Digest()
			if err != nil {
				return err
			}
			a.blob(digest, func() ([]byte, error) { return compressed(layer) })
			entry.Layers = append(entry.Layers, blobPath(digest))
		}
		docker = append(docker, entry)
	}
	a.json("manifest.json", docker)
	return a.close()
}

func blobPath(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

func compressed(layer v1.Layer) ([]byte, error) {
	r, err := layer.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// archive writes files to a tar file, and keeps the first error.
type archive struct {
	tar     *tar.Writer
	written map[string]bool
	err     error
}

func (a *archive) blob(digest v1.Hash, read func() ([]byte, error)) {
	path := blobPath(digest)
	if a.err != nil || a.written[path] {
		return
	}
	a.written[path] = true
	content, err := read()
	if err != nil {
		a.err = fmt.Errorf("blob %s: %w", digest, err)
		return
	}
	a.file(path, content)
}

func (a *archive) json(path string, value any) {
	content, err := json.Marshal(value)
	if err != nil {
		a.err = fmt.Errorf("%s: %w", path, err)
		return
	}
	a.file(path, content)
}

func (a *archive) file(path string, content []byte) {
	if a.err != nil {
		return
	}
	header := tar.Header{Name: path, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatUSTAR}
	if a.err = a.tar.WriteHeader(&header); a.err == nil {
		_, a.err = a.tar.Write(content)
	}
}

func (a *archive) close() error {
	if a.err != nil {
		return a.err
	}
	return a.tar.Close()
}
