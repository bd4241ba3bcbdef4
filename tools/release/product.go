package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/clusterring/clusterring/tools/release/internal/image"
	"github.com/clusterring/clusterring/tools/release/internal/manifests"
	"github.com/clusterring/clusterring/tools/release/internal/sbom"
	"github.com/clusterring/clusterring/tools/release/internal/source"
)

// product is the sharder of one version, as programs and as an image.
type product struct {
	source   source.Source
	ref      reference.NamedTagged
	programs []string // paths, one for each architecture
	index    v1.ImageIndex
	digest   v1.Hash // of index
}

// newProduct builds the sharder for Linux on the architectures into dir, and makes the image of it.
func newProduct(ctx context.Context, s source.Source, ref reference.NamedTagged, dir string, architectures ...string) (*product, error) {
	license, err := os.ReadFile(filepath.Join(s.Dir, "LICENSE"))
	if err != nil {
		return nil, err
	}
	p := &product{source: s, ref: ref}
	var images []v1.Image
	for _, arch := range architectures {
		path := filepath.Join(dir, "sharder-linux-"+arch)
		if err := s.Build(ctx, "./tools/sharder", arch, path); err != nil {
			return nil, err
		}
		p.programs = append(p.programs, path)
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		made, err := image.New(s, v1.Platform{OS: "linux", Architecture: arch},
			image.File{Name: "sharder", Executable: true, Content: content}, image.File{Name: "LICENSE", Content: license})
		if err != nil {
			return nil, fmt.Errorf("image for %s: %w", arch, err)
		}
		images = append(images, made)
	}
	if p.index, err = image.Index(s, images...); err != nil {
		return nil, err
	}
	p.digest, err = p.index.Digest()
	return p, err
}

// pinned is the name of the image with its version and digest.
func (p *product) pinned() string { return reference.FamiliarString(p.ref) + "@" + p.digest.String() }

func (p *product) archiveName() string { return "sharder-" + p.source.Version + ".oci.tar" }

func (p *product) writeArchive(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := image.WriteArchive(file, p.index, p.ref); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

// writeAll writes the files of a release into dir, and their checksums.
func (p *product) writeAll(dir string) error {
	install, crds, err := manifests.Render(filepath.Join(p.source.Dir, "config"), p.ref, p.digest.String())
	if err != nil {
		return err
	}
	bom, err := sbom.New(p.source, p.digest.String(), p.programs...)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, content := range map[string][]byte{
		"install.yaml": install, "crds.yaml": crds, "sharder-" + p.source.Version + ".cdx.json": bom,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	if err := p.writeArchive(filepath.Join(dir, p.archiveName())); err != nil {
		return err
	}
	return writeChecksums(dir)
}

// writeChecksums writes SHA256SUMS for `sha256sum -c`.
func writeChecksums(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(content), file.Name())
	}
	return os.WriteFile(filepath.Join(dir, "SHA256SUMS"), []byte(sums.String()), 0o644)
}
