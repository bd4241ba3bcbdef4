package simapi

import (
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// born fills in what the server gives to a new object, and takes away what a client cannot say. The server is locked.
func (s *Server) born(t *table, content map[string]any) {
	u := &unstructured.Unstructured{Object: content}
	if u.GetName() == "" && u.GetGenerateName() != "" {
		u.SetName(u.GetGenerateName() + rand.String(5))
	}
	for _, field := range []string{"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "managedFields"} {
		unstructured.RemoveNestedField(content, "metadata", field)
	}
	tidy(content)
	s.uids++
	u.SetUID(types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", s.uids, s.uids)))
	u.SetCreationTimestamp(metav1.NewTime(time.Now()))
	if t.Generation {
		u.SetGeneration(1)
	}
	if t.Status {
		delete(content, "status")
	}
	if t.GroupResource() == namespaces {
		u.SetLabels(merged(u.GetLabels(), map[string]string{"kubernetes.io/metadata.name": u.GetName()}))
		content["status"] = map[string]any{"phase": "Active"}
	}
}

// tidy takes away empty lists and maps of metadata, which are not stored.
func tidy(content map[string]any) {
	meta := content["metadata"].(map[string]any)
	for field, value := range meta {
		switch value := value.(type) {
		case nil:
			delete(meta, field)
		case map[string]any:
			if len(value) == 0 {
				delete(meta, field)
			}
		case []any:
			if len(value) == 0 {
				delete(meta, field)
			}
		}
	}
}

func merged(a, b map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

// validate checks metadata as the API server does for all resources.
func validate(gk schema.GroupKind, u *unstructured.Unstructured) error {
	path := field.NewPath("metadata")
	var errs field.ErrorList
	if u.GetName() == "" {
		errs = append(errs, field.Required(path.Child("name"), "name or generateName is required"))
	} else {
		for _, problem := range apivalidation.NameIsDNSSubdomain(u.GetName(), false) {
			errs = append(errs, field.Invalid(path.Child("name"), u.GetName(), problem))
		}
	}
	errs = append(errs, metavalidation.ValidateLabels(u.GetLabels(), path.Child("labels"))...)
	errs = append(errs, apivalidation.ValidateAnnotations(u.GetAnnotations(), path.Child("annotations"))...)
	errs = append(errs, apivalidation.ValidateOwnerReferences(u.GetOwnerReferences(), path.Child("ownerReferences"))...)
	errs = append(errs, apivalidation.ValidateFinalizers(u.GetFinalizers(), path.Child("finalizers"))...)
	if len(errs) > 0 {
		return apierrors.NewInvalid(gk, u.GetName(), errs)
	}
	return nil
}

// invalid returns the error for one problem, given as the API server puts it.
func invalid(gk schema.GroupKind, name, problem string) error {
	err := apierrors.NewInvalid(gk, name, nil)
	err.ErrStatus.Message = strings.TrimSuffix(err.ErrStatus.Message, ": <nil>")
	err.ErrStatus.Message = strings.TrimSuffix(err.ErrStatus.Message, ":") + ": " + problem
	return err
}
