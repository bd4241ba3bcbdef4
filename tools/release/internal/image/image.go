// Package image makes container images of static programs, without a container runtime. Images are reproducible: the same
// programs, source and name make the same bytes.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/clusterring/clusterring/tools/release/internal/source"
)

// user is what the program runs as, when the pod does not say otherwise. Kubernetes checks runAsNonRoot only against numbers.
const user = "65532:65532"

// A File is put into the root directory of the image.
type File struct {
	Name       string
	Executable bool
	Content    []byte
}

// New makes the image of a platform. The first file is the program that it runs.
func New(s source.Source, platform v1.Platform, files ...File) (v1.Image, error) {
	content, err := pack(s.Time, files)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	created := v1.Time{Time: s.Time}
	image, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{Created: created, CreatedBy: "tools/release"}})
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = platform.OS, platform.Architecture, created
	config.Config = v1.Config{
		User: user, Entrypoint: []string{"/" + files[0].Name}, WorkingDir: "/", Labels: annotations(s),
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		return nil, err
	}
	return mutate.Annotations(image, annotations(s)).(v1.Image), nil
}

// Index makes one image of those of several platforms.
func Index(s source.Source, images ...v1.Image) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, image := range images {
		config, err := image.ConfigFile()
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: config.OS, Architecture: config.Architecture}},
		})
	}
	return mutate.Annotations(index, annotations(s)).(v1.ImageIndex), nil
}

// annotations are what images, their indexes and their configurations tell of themselves.
func annotations(s source.Source) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "sharder",
		"org.opencontainers.image.description": "The sharder of ClusterRing, which makes Kubernetes controllers horizontally scalable",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     s.Version,
		"org.opencontainers.image.revision":    s.Revision,
		"org.opencontainers.image.created":     s.Time.Format(time.RFC3339),
	}
}

// pack writes the files as the tar file of a layer.
func pack(created time.Time, files []File) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		mode := int64(0o444)
		if f.Executable {
			mode = 0o555
		}
		header := tar.Header{Name: f.Name, Mode: mode, Size: int64(len(f.Content)), ModTime: created, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(&header); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Content); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}
