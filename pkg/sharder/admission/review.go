package admission

import (
	"errors"
	"fmt"
	"io"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// maxString bounds the strings of a request that matter. The longest honest one is the key of a label: a domain of 253
// bytes, a slash, and 63 bytes.
const maxString = 512

// request is the part of an AdmissionReview that matters here.
type request struct {
	apiVersion, kind       string // of the review
	uid                    types.UID
	resource               schema.GroupResource
	subResource, operation string
	namespace              string

	hasMetadata, hasLabels bool
	name, generateName     string
	labelled               bool   // with the label of the ring
	label                  string // its value
	controller             *metav1.OwnerReference
	problem                string // what is wrong with the object
}

// decode reads the request out of an AdmissionReview, to the end of the source. An error means that there is nothing to
// answer.
func decode(s *scanner, label string) (*request, error) {
	r := &request{}
	err := s.object(maxString, func(key string) error {
		switch key {
		case "apiVersion":
			return r.string(s, &r.apiVersion)
		case "kind":
			return r.string(s, &r.kind)
		case "request":
			return r.decodeRequest(s, label)
		default:
			return s.skip()
		}
	})
	if err == nil {
		if _, more := s.peek(); more {
			err = fmt.Errorf("%w: there is more after its end", errJSON)
		} else if s.err != nil && !errors.Is(s.err, io.EOF) {
			err = s.err
		}
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("decode AdmissionReview: %w", err)
	case r.kind != "AdmissionReview" || r.apiVersion != admissionv1.SchemeGroupVersion.String():
		return nil, fmt.Errorf("the body is a %.64q of %.64q, not an AdmissionReview of %s", r.kind, r.apiVersion, admissionv1.SchemeGroupVersion)
	case r.uid == "":
		return nil, errors.New("the AdmissionReview has no request with a uid")
	case r.problem == "" && !r.hasMetadata:
		r.problem = "the object has no metadata"
	}
	return r, nil
}

// string reads a string that matters. One that is too long, or of another type, is what is wrong with the request.
func (r *request) string(s *scanner, to *string) error {
	value, ok, err := s.optional(maxString)
	if err == nil && !ok {
		r.problem = fmt.Sprintf("a field is not a string of at most %d bytes", maxString)
	}
	*to = value
	return err
}

func (r *request) decodeRequest(s *scanner, label string) error {
	return s.object(maxString, func(key string) error {
		switch key {
		case "uid":
			return r.string(s, (*string)(&r.uid))
		case "resource":
			return s.object(maxString, func(key string) error {
				switch key {
				case "group":
					return r.string(s, &r.resource.Group)
				case "resource":
					return r.string(s, &r.resource.Resource)
				default:
					return s.skip()
				}
			})
		case "subResource":
			return r.string(s, &r.subResource)
		case "operation":
			return r.string(s, &r.operation)
		case "namespace":
			return r.string(s, &r.namespace)
		case "object":
			return s.object(maxString, func(key string) error {
				if key == "metadata" {
					return r.decodeMetadata(s, label)
				}
				return s.skip()
			})
		default:
			return s.skip()
		}
	})
}

func (r *request) decodeMetadata(s *scanner, label string) error {
	c, _ := s.peek()
	r.hasMetadata = c == '{'
	return s.object(maxString, func(key string) error {
		switch key {
		case "name":
			return r.string(s, &r.name)
		case "generateName":
			return r.string(s, &r.generateName)
		case "labels":
			c, _ := s.peek()
			r.hasLabels = c == '{'
			return s.object(maxString, func(key string) error {
				if key != label {
					return s.skip()
				}
				r.labelled = true
				return r.string(s, &r.label)
			})
		case "ownerReferences":
			return r.decodeOwners(s)
		default:
			return s.skip()
		}
	})
}

// decodeOwners finds the controller among the owner references. It allocates nothing for each of them: there may be millions.
func (r *request) decodeOwners(s *scanner) error {
	var ref metav1.OwnerReference
	controls := false
	field := func(key string) (err error) {
		switch key {
		case "apiVersion":
			return r.string(s, &ref.APIVersion)
		case "kind":
			return r.string(s, &ref.Kind)
		case "name":
			return r.string(s, &ref.Name)
		case "uid":
			return r.string(s, (*string)(&ref.UID))
		case "controller":
			controls, err = s.isTrue()
			return err
		default:
			return s.skip()
		}
	}
	return s.array(func() error {
		if r.controller != nil {
			return s.skip()
		}
		ref, controls = metav1.OwnerReference{}, false
		err := s.object(maxString, field)
		if controls {
			found := ref
			r.controller = &found
		}
		return err
	})
}
