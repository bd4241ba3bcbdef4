package main

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// checkBill: the bill of materials has the modules that the program was built from.
func checkBill(t *testing.T, path, program, version string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(content), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if c := bom.Metadata.Component; c.Name != "sharder" || c.Version != version || bom.Metadata.Timestamp != "2026-11-28T12:00:00Z" {
		t.Errorf("it is of %s %s, made at %s", c.Name, c.Version, bom.Metadata.Timestamp)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		want[module.Path] = module.Version
	}
	if want["k8s.io/client-go"] == "" {
		t.Fatalf("the program has the modules %v only", want)
	}
	got, refs := map[string]string{}, map[string]bool{}
	for _, c := range *bom.Components {
		got[c.Name] = c.Version
		refs[c.BOMRef] = true
		if url := "pkg:golang/" + c.Name + "@"; !strings.HasPrefix(c.PackageURL, url) {
			t.Errorf("the package URL of %s is %s", c.Name, c.PackageURL)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	for _, d := range *bom.Dependencies {
		for _, ref := range *d.Dependencies {
			if !refs[ref] {
				t.Errorf("%s depends on %s, which is no component", d.Ref, ref)
			}
		}
	}
}
