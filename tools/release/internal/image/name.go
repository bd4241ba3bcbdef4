package image

import (
	"context"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Ref makes the reference of a version of an image, which is named without a tag.
func Ref(image, version string) (reference.NamedTagged, error) {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", image, err)
	}
	if !reference.IsNameOnly(named) {
		return nil, fmt.Errorf("image %q: give it without a tag or a digest, the version becomes its tag", image)
	}
	ref, err := reference.WithTag(named, version)
	if err != nil {
		return nil, fmt.Errorf("version %q cannot be the tag of an image: %w", version, err)
	}
	return ref, nil
}

// HasRegistry returns an error when the name of an image does not begin with a registry.
func HasRegistry(image string) error {
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return fmt.Errorf("image %q: %w", image, err)
	}
	if !strings.HasPrefix(image, reference.Domain(named)+"/") {
		return fmt.Errorf("image %q names no registry: say where to push it to, HOST/%s", image, image)
	}
	return nil
}

// Push pushes an index with its images to the registry that the name begins with, with the credentials that `docker login`
// or the like has left.
func Push(ctx context.Context, index v1.ImageIndex, ref reference.NamedTagged) error {
	to, err := name.ParseReference(ref.String())
	if err != nil {
		return err
	}
	if err := remote.WriteIndex(to, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push %s: %w", ref, err)
	}
	return nil
}
