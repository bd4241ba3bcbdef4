package resources

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// neededVerbs are the verbs without which the objects of a resource can't be sharded.
var neededVerbs = []string{"list", "watch", "patch"}

// lookup asks the API server for the versions of the group, and for the resource in one version after the other, the
// preferred one first.
func lookup(ctx context.Context, client rest.Interface, gr schema.GroupResource) (Resource, error) {
	unknown := func(reason string) (Resource, error) {
		return Resource{}, unknownError{fmt.Errorf("resource %s %s", gr, reason)}
	}
	versions, err := groupVersions(ctx, client, gr.Group)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return unknown("is not served by the API server: there is no such API group")
		}
		return Resource{}, fmt.Errorf("look up API group %q: %w", gr.Group, err)
	}
	for _, gv := range versions {
		list := &metav1.APIResourceList{}
		err := client.Get().AbsPath(path(gv)...).Do(ctx).Into(list)
		if apierrors.IsNotFound(err) {
			continue // The version went away since we asked for the group's.
		}
		if err != nil {
			return Resource{}, fmt.Errorf("look up resources of %s: %w", gv, err)
		}
		for _, served := range list.APIResources {
			if served.Name != gr.Resource {
				continue
			}
			for _, verb := range neededVerbs {
				if !slices.Contains(served.Verbs, verb) {
					return unknown(fmt.Sprintf("can't be sharded: the API server offers no %q for it", verb))
				}
			}
			return Resource{GVR: gv.WithResource(gr.Resource), Kind: served.Kind, Namespaced: served.Namespaced}, nil
		}
	}
	return unknown("is not served by the API server")
}

// groupVersions returns the versions of the group, the preferred one first.
func groupVersions(ctx context.Context, client rest.Interface, group string) ([]schema.GroupVersion, error) {
	if group == "" {
		return []schema.GroupVersion{{Version: "v1"}}, nil
	}
	served := &metav1.APIGroup{}
	if err := client.Get().AbsPath("/apis", group).Do(ctx).Into(served); err != nil {
		return nil, err
	}
	var versions []schema.GroupVersion
	if v := served.PreferredVersion.Version; v != "" {
		versions = append(versions, schema.GroupVersion{Group: group, Version: v})
	}
	for _, v := range served.Versions {
		if gv := (schema.GroupVersion{Group: group, Version: v.Version}); !slices.Contains(versions, gv) {
			versions = append(versions, gv)
		}
	}
	return versions, nil
}

func path(gv schema.GroupVersion) []string {
	if gv.Group == "" {
		return []string{"/api", gv.Version}
	}
	return []string{"/apis", gv.Group, gv.Version}
}
