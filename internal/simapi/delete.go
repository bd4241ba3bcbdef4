package simapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func (s *Server) delete(r *request) (answer, error) {
	options, err := deleteOptions(r.body)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	current, ok := r.table.objects[keyOf(r.namespace, r.name)]
	if !ok {
		return answer{}, apierrors.NewNotFound(r.table.GroupResource(), r.name)
	}
	return s.remove(r, current, options)
}

func deleteOptions(body []byte) (metav1.DeleteOptions, error) {
	var options metav1.DeleteOptions
	if len(body) > 0 {
		if err := json.Unmarshal(body, &options); err != nil {
			return options, apierrors.NewBadRequest(err.Error())
		}
	}
	if p := options.PropagationPolicy; p != nil && *p != metav1.DeletePropagationBackground {
		return options, apierrors.NewBadRequest(fmt.Sprintf("the simulated API server knows no %s deletion", *p))
	}
	return options, nil
}

// remove deletes an object, or marks it when it has finalizers. The server is locked.
func (s *Server) remove(r *request, current *object, options metav1.DeleteOptions) (answer, error) {
	t, meta := r.table, current.meta()
	if p := options.Preconditions; p != nil {
		refused := func(what string, wanted, is any) error {
			return apierrors.NewConflict(t.GroupResource(), meta.GetName(), fmt.Errorf("the %s in the precondition (%v) does not match the %s in record (%v). %s",
				what, wanted, what, is, map[string]string{
					"UID":             "The object might have been deleted and then recreated",
					"ResourceVersion": "The object might have been modified",
				}[what]))
		}
		if p.UID != nil && *p.UID != meta.GetUID() {
			return answer{}, refused("UID", *p.UID, meta.GetUID())
		}
		if p.ResourceVersion != nil && *p.ResourceVersion != meta.GetResourceVersion() {
			return answer{}, refused("ResourceVersion", *p.ResourceVersion, meta.GetResourceVersion())
		}
	}
	if len(meta.GetFinalizers()) > 0 {
		if meta.GetDeletionTimestamp() != nil || r.dryRun() {
			return r.object(http.StatusOK, current), nil
		}
		next := current.copy()
		u := &unstructured.Unstructured{Object: next}
		now := metav1.Now()
		u.SetDeletionTimestamp(&now)
		u.SetDeletionGracePeriodSeconds(new(int64))
		if u.GetGeneration() > 0 {
			u.SetGeneration(u.GetGeneration() + 1)
		}
		return r.object(http.StatusOK, s.store(t, current, next)), nil
	}
	if !r.dryRun() {
		s.store(t, current, nil)
	}
	return encode(http.StatusOK, metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusSuccess,
		Details: &metav1.StatusDetails{Name: meta.GetName(), Group: t.Group, Kind: t.GroupResource().Resource, UID: meta.GetUID()},
	}), nil
}

func (s *Server) deleteCollection(r *request) (answer, error) {
	sel, err := r.selection()
	if err != nil {
		return answer{}, err
	}
	options, err := deleteOptions(r.body)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := page(r, sel, r.table.objects, position{Version: s.version}, 0)
	for _, o := range sorted(r.table.objects) {
		if sel.matches(o) {
			if _, err := s.remove(r, o, options); err != nil {
				return answer{}, err
			}
		}
	}
	return a, nil
}
