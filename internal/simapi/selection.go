package simapi

import (
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// selection is which objects a list or a watch is about.
type selection struct {
	namespace string
	labels    labels.Selector
	fields    fields.Selector
}

func (r *request) selection() (selection, error) {
	s := selection{namespace: r.namespace}
	var err error
	if s.labels, err = labels.Parse(r.query.Get("labelSelector")); err != nil {
		return s, apierrors.NewBadRequest(fmt.Sprintf("unable to parse labelSelector: %v", err))
	}
	if s.fields, err = fields.ParseSelector(r.query.Get("fieldSelector")); err != nil {
		return s, apierrors.NewBadRequest(fmt.Sprintf("unable to parse fieldSelector: %v", err))
	}
	for _, requirement := range s.fields.Requirements() {
		if f := requirement.Field; f != "metadata.name" && f != "metadata.namespace" {
			return s, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", f))
		}
	}
	return s, nil
}

func (s selection) matches(o *object) bool {
	return o != nil && (s.namespace == "" || o.fields["metadata.namespace"] == s.namespace) &&
		s.labels.Matches(o.labels) && (s.fields.Empty() || s.fields.Matches(o.fields))
}

// everything tells whether all objects match, whatever they are like.
func (s selection) everything() bool { return s.labels.Empty() && s.fields.Empty() }
