package admission

import (
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/json"
)

// review is the part of an AdmissionReview that matters here. What is not named is skipped by the decoder, above all the
// objects themselves.
type review struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Request    *request `json:"request"`
}

type request struct {
	UID         types.UID           `json:"uid"`
	Resource    groupResource       `json:"resource"`
	SubResource string              `json:"subResource"`
	Name        string              `json:"name"`
	Namespace   string              `json:"namespace"`
	Operation   string              `json:"operation"`
	DryRun      bool                `json:"dryRun"`
	Object      *objectWithMetadata `json:"object"`
}

type groupResource struct {
	Group    string `json:"group"`
	Resource string `json:"resource"`
}

func (r groupResource) schema() schema.GroupResource {
	return schema.GroupResource{Group: r.Group, Resource: r.Resource}
}

type objectWithMetadata struct {
	Metadata *metadata `json:"metadata"`
}

type metadata struct {
	Name            string                  `json:"name"`
	GenerateName    string                  `json:"generateName"`
	Labels          map[string]string       `json:"labels"`
	OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
}

// decode reads the request out of an AdmissionReview. An error with a request says that the object in it is malformed;
// without one there is nothing that could be answered.
func decode(body []byte) (*request, error) {
	var r review
	// Unlike encoding/json, this one tells "metadata" from "Metadata", as the API server does.
	err := json.UnmarshalCaseSensitivePreserveInts(body, &r)
	if r.Request == nil || r.Request.UID == "" {
		if err != nil {
			return nil, fmt.Errorf("decode AdmissionReview: %w", err)
		}
		return nil, errors.New("the body is no AdmissionReview with a request and a uid")
	}
	if r.Kind != "AdmissionReview" || r.APIVersion != admissionv1.SchemeGroupVersion.String() {
		return nil, fmt.Errorf("the body is a %q of %q, not an AdmissionReview of %s", r.Kind, r.APIVersion, admissionv1.SchemeGroupVersion)
	}
	if err == nil && (r.Request.Object == nil || r.Request.Object.Metadata == nil) {
		err = errors.New("the object has no metadata")
	}
	return r.Request, err
}
