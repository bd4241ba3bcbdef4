// Package sbom tells what programs are made of.
package sbom

import (
	"bytes"
	"debug/buildinfo"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/clusterring/clusterring/tools/release/internal/source"
)

// New returns the software bill of materials of the programs, which are one program for several platforms, in CycloneDX's
// JSON. It has the modules that the Go toolchain recorded in them, and the standard library. The digest is the image's.
func New(s source.Source, digest string, programs ...string) ([]byte, error) {
	modules := map[string]cdx.Component{}
	main := cdx.Component{Type: cdx.ComponentTypeApplication, Name: "sharder", Version: s.Version}
	for _, path := range programs {
		info, err := buildinfo.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("build info: %w", err)
		}
		main.PackageURL = purl(info.Main.Path, s.Version)
		version := strings.TrimPrefix(info.GoVersion, "go")
		version, _, _ = strings.Cut(version, " ")
		modules["std"] = component("std", version)
		for _, module := range info.Deps {
			if module.Replace != nil {
				module = module.Replace
			}
			modules[module.Path] = component(module.Path, module.Version)
		}
	}
	main.BOMRef = main.PackageURL
	var components []cdx.Component
	var refs []string
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		components = append(components, modules[path])
		refs = append(refs, modules[path].BOMRef)
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: s.Time.Format(time.RFC3339), Component: &main,
		Properties: &[]cdx.Property{{Name: "clusterring:image:digest", Value: digest}, {Name: "clusterring:revision", Value: s.Revision}},
	}
	bom.Components = &components
	bom.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return out.Bytes(), err
}

func component(path, version string) cdx.Component {
	url := purl(path, version)
	return cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
}

func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}
