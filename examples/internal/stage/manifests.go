package stage

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	"github.com/clusterring/clusterring/internal/testenv"
)

// Apply applies manifests, given by their paths from the root of the repository, in their order.
func (s *Stage) Apply(paths ...string) {
	s.t.Helper()
	client, err := dynamic.NewForConfig(s.cluster.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	known, err := discovery.NewDiscoveryClientForConfig(s.cluster.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	groups, err := restmapper.GetAPIGroupResources(known)
	if err != nil {
		s.t.Fatal(err)
	}
	mapper := restmapper.NewDiscoveryRESTMapper(groups)
	for _, path := range paths {
		objects, err := read(filepath.Join(s.root, path))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, object := range objects {
			// A new namespace may not be known yet where the next object is checked.
			testenv.Poll(s.t, Timeout, func(ctx context.Context) error { return apply(ctx, client, mapper, object) })
		}
	}
}

func read(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var objects []*unstructured.Unstructured
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		objects = append(objects, object)
	}
}

func apply(ctx context.Context, client dynamic.Interface, mapper meta.RESTMapper, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		resource = client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	_, err = resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "examples", Force: true})
	return err
}
