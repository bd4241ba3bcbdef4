package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/manifests"
	"github.com/clusterring/clusterring/internal/testenv"
)

// TestManifests: the API server accepts every manifest, field by field.
func TestManifests(t *testing.T) {
	w := newWorld(t)
	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	// Not one for the API server, and what is in it is in the others.
	all, err := manifests.Read(func(kind string) bool { return kind != "Kustomization" }, "config")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d manifests", len(all))
	}
	for _, object := range all {
		resource, _ := meta.UnsafeGuessKindToResource(object.GroupVersionKind())
		if object.GetNamespace() != "" {
			object.SetNamespace(w.namespace) // theirs may not exist
		}
		options := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
		_, err := client.Resource(resource).Namespace(object.GetNamespace()).Create(t.Context(), object, options)
		if err != nil && !apierrors.IsAlreadyExists(err) {
			t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
		}
	}
}

// TestKustomization: it names files that exist, and leaves out only those that are for other occasions.
func TestKustomization(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("config", "kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var kustomization struct {
		Resources []string `json:"resources"`
	}
	if err := yaml.Unmarshal(data, &kustomization); err != nil {
		t.Fatal(err)
	}
	missing := map[string]bool{}
	err = filepath.WalkDir("config", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			missing[strings.TrimPrefix(path, "config/")] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(kustomization.Resources, "kustomization.yaml", "sample.yaml") {
		if !missing[file] {
			t.Errorf("%s does not exist", file)
		}
		delete(missing, file)
	}
	for file := range missing {
		t.Errorf("%s is not in kustomization.yaml", file)
	}
}

// TestValidation: what would not work is refused when it is created.
func TestValidation(t *testing.T) {
	w := newWorld(t)
	dryRun := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	for name, tc := range map[string]struct {
		website string
		theme   v1alpha1.ThemeSpec
		want    bool
	}{
		"good":                       {website: "museum-2", theme: v1alpha1.ThemeSpec{Color: "#00ff7F", FontFamily: "Fira Sans, serif"}, want: true},
		"color by name":              {website: "m", theme: v1alpha1.ThemeSpec{Color: "red", FontFamily: "Helvetica"}, want: true},
		"name of no Service":         {website: "2museum", theme: v1alpha1.ThemeSpec{Color: "red", FontFamily: "Helvetica"}},
		"name with dots":             {website: "a.b", theme: v1alpha1.ThemeSpec{Color: "red", FontFamily: "Helvetica"}},
		"name too long":              {website: strings.Repeat("a", 64), theme: v1alpha1.ThemeSpec{Color: "red", FontFamily: "Helvetica"}},
		"color breaks out of style":  {website: "m", theme: v1alpha1.ThemeSpec{Color: "red;}</style>", FontFamily: "Helvetica"}},
		"family breaks out of style": {website: "m", theme: v1alpha1.ThemeSpec{Color: "red", FontFamily: "a</style><script>"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.web.WebhostingV1alpha1().Websites(w.namespace).Create(t.Context(), &v1alpha1.Website{
				ObjectMeta: metav1.ObjectMeta{Name: tc.website}, Spec: v1alpha1.WebsiteSpec{Theme: "a"},
			}, dryRun)
			if err == nil {
				_, err = w.web.WebhostingV1alpha1().Themes().Create(t.Context(), &v1alpha1.Theme{
					ObjectMeta: metav1.ObjectMeta{Name: testenv.Name(t)}, Spec: tc.theme,
				}, dryRun)
			}
			if (err == nil) != tc.want || err != nil && !apierrors.IsInvalid(err) {
				t.Errorf("created: %v", err)
			}
		})
	}
}
