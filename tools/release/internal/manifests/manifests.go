// Package manifests renders what users apply out of the repository's manifests.
package manifests

import (
	"errors"
	"fmt"

	"github.com/distribution/reference"
	"sigs.k8s.io/kustomize/api/filters/imagetag"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// imageName is what the manifests in the repository call the sharder's image.
const imageName = "clusterring/sharder"

// Render returns what kustomize makes of dir, with the image at the version and digest, and the CustomResourceDefinitions
// in it alone.
func Render(dir string, image reference.NamedTagged, digest string) (install, crds []byte, err error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl does: namespaces, CRDs and roles come before what needs them
	all, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, nil, fmt.Errorf("kustomize %s: %w", dir, err)
	}
	definitions := resmap.New()
	for _, r := range all.Resources() {
		if r.GetKind() == "CustomResourceDefinition" {
			if err := definitions.Append(r); err != nil {
				return nil, nil, err
			}
		}
	}
	if definitions.Size() == 0 {
		return nil, nil, errors.New("there are no CustomResourceDefinitions")
	}
	if err := all.ApplyFilter(imagetag.LegacyFilter{ImageTag: types.Image{
		Name: imageName, NewName: reference.FamiliarName(image), NewTag: image.Tag(), Digest: digest,
	}}); err != nil {
		return nil, nil, fmt.Errorf("set image: %w", err)
	}
	if crds, err = definitions.AsYaml(); err != nil {
		return nil, nil, err
	}
	install, err = all.AsYaml()
	return install, crds, err
}
