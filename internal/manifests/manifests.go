// Package manifests applies the manifests that users apply, without kubectl.
package manifests

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// Read returns the objects in the YAML files at the paths; of a directory, those in all files under it. Objects of kinds
// that keep does not want are left out; nil keeps all.
func Read(keep func(kind string) bool, paths ...string) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(file) != ".yaml" {
				return err
			}
			read, err := readFile(file)
			objects = append(objects, read...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read manifests: %w", err)
		}
	}
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return keep != nil && !keep(o.GetKind()) }), nil
}

func readFile(path string) ([]*unstructured.Unstructured, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("%s: %w", path, err)
		case len(object.Object) > 0:
			objects = append(objects, object)
		}
	}
}

// Apply applies the objects in their order, in the name of the manager. It waits for kinds that the API server does not know
// yet, such as one that a CustomResourceDefinition among the objects defines, and for namespaces.
func Apply(ctx context.Context, config *rest.Config, manager string, objects []*unstructured.Unstructured) error {
	c, err := newClient(config)
	if err != nil {
		return err
	}
	for _, o := range objects {
		var last error
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
			if last = c.apply(ctx, manager, o); meta.IsNoMatchError(last) {
				c.mapper.Reset()
			}
			return last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("apply %s %s: %w", o.GetKind(), o.GetName(), errors.Join(last, err))
		}
	}
	return nil
}

// Missing returns those of the objects that the API server does not have.
func Missing(ctx context.Context, config *rest.Config, objects []*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	c, err := newClient(config)
	if err != nil {
		return nil, err
	}
	var missing []*unstructured.Unstructured
	for _, o := range objects {
		resource, err := c.resource(o)
		if err == nil {
			_, err = resource.Get(ctx, o.GetName(), metav1.GetOptions{})
		}
		switch {
		case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
			missing = append(missing, o)
		case err != nil:
			return nil, fmt.Errorf("get %s %s: %w", o.GetKind(), o.GetName(), err)
		}
	}
	return missing, nil
}

// Delete deletes the objects, the last one first. It is no error if one does not exist.
func Delete(ctx context.Context, config *rest.Config, objects []*unstructured.Unstructured) error {
	c, err := newClient(config)
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range slices.Backward(objects) {
		resource, err := c.resource(o)
		if err == nil {
			err = resource.Delete(ctx, o.GetName(), metav1.DeleteOptions{})
		}
		if err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("delete %s %s: %w", o.GetKind(), o.GetName(), err))
		}
	}
	return errors.Join(errs...)
}

// client finds the resource of an object by its kind.
type client struct {
	dynamic dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
}

func newClient(config *rest.Config) (*client, error) {
	c, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	known, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return &client{c, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(known))}, nil
}

func (c *client) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return c.dynamic.Resource(mapping.Resource), nil
	}
	return c.dynamic.Resource(mapping.Resource).Namespace(cmp.Or(o.GetNamespace(), metav1.NamespaceDefault)), nil
}

func (c *client) apply(ctx context.Context, manager string, o *unstructured.Unstructured) error {
	resource, err := c.resource(o)
	if err != nil {
		return err
	}
	_, err = resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: manager, Force: true})
	return err
}
