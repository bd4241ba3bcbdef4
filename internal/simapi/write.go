package simapi

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// change makes the next content of an object out of its present state, which is nil if there is none. It is called again
// when somebody else was faster.
type change func(current *object) (map[string]any, error)

const modified = "the object has been modified; please apply your changes to the latest version and try again"

func (s *Server) create(r *request) (answer, error) {
	content, err := decode(r.body)
	if err != nil {
		return answer{}, apierrors.NewBadRequest(err.Error())
	}
	u := &unstructured.Unstructured{Object: content}
	if err := s.admissible(r, u); err != nil {
		return answer{}, err
	}
	if u.GetResourceVersion() != "" {
		return answer{}, statusError(http.StatusInternalServerError, "resourceVersion should not be set on objects to be created")
	}
	if content, err = s.admit(r, nil, content); err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.insert(r, content)
}

// insert stores a new object. The server is locked.
func (s *Server) insert(r *request, content map[string]any) (answer, error) {
	t := r.table
	s.born(t, content)
	u := &unstructured.Unstructured{Object: content}
	if err := validate(t.GroupKind(), u); err != nil {
		return answer{}, err
	}
	if _, ok := t.objects[keyOf(u.GetNamespace(), u.GetName())]; ok {
		return answer{}, apierrors.NewAlreadyExists(t.GroupResource(), u.GetName())
	}
	if r.dryRun() {
		o := newObject(content, 0)
		o.meta().SetResourceVersion("")
		return r.object(http.StatusCreated, o), nil
	}
	return r.done(http.StatusCreated, s.store(t, nil, content)), nil
}

// admissible checks what the request says about name and namespace, and that the namespace is there.
func (s *Server) admissible(r *request, u *unstructured.Unstructured) error {
	if gvk := u.GroupVersionKind(); gvk != r.table.GroupVersion().WithKind(r.table.Kind) && !u.GroupVersionKind().Empty() {
		return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s", gvk.Kind, gvk.Version, r.table.Kind))
	}
	u.SetGroupVersionKind(r.table.GroupVersion().WithKind(r.table.Kind))
	if name := u.GetName(); r.name != "" && name != "" && name != r.name {
		return apierrors.NewBadRequest(fmt.Sprintf("the name of the object (%s) does not match the name on the URL (%s)", name, r.name))
	}
	if namespace := u.GetNamespace(); namespace != "" && namespace != r.namespace {
		return apierrors.NewBadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	if r.namespace == "" {
		return nil
	}
	u.SetNamespace(r.namespace)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tables[namespaces]
	if !ok {
		return nil
	}
	namespace, ok := t.objects[keyOf("", r.namespace)]
	switch {
	case !ok:
		return apierrors.NewNotFound(namespaces, r.namespace)
	case namespace.terminating():
		return apierrors.NewForbidden(r.table.GroupResource(), u.GetName(),
			fmt.Errorf("unable to create new content in namespace %s because it is being terminated", r.namespace))
	}
	return nil
}

func (s *Server) put(r *request) (answer, error) {
	content, err := decode(r.body)
	if err != nil {
		return answer{}, apierrors.NewBadRequest(err.Error())
	}
	return s.update(r, func(current *object) (map[string]any, error) {
		if uid := (&unstructured.Unstructured{Object: content}).GetUID(); uid != "" && current != nil && uid != current.meta().GetUID() {
			return nil, conflict(r, fmt.Errorf("Precondition failed: UID in precondition: %v, UID in object meta: %v", uid, current.meta().GetUID()))
		}
		return (&unstructured.Unstructured{Object: content}).DeepCopy().Object, nil
	}, nil)
}

func conflict(r *request, err error) error {
	return apierrors.NewConflict(r.table.GroupResource(), r.name, err)
}

// errRaced says that an object is not as it was when a write began.
var errRaced = errors.New("the object has changed meanwhile")

// update changes an object. create, if it is not nil, is called with the content when there was no object.
func (s *Server) update(r *request, do change, create func(map[string]any) (answer, error)) (answer, error) {
	for {
		a, err := s.tryUpdate(r, do, create)
		if err != errRaced {
			return a, err
		}
	}
}

func (s *Server) tryUpdate(r *request, do change, create func(map[string]any) (answer, error)) (answer, error) {
	t := r.table
	key := keyOf(r.namespace, r.name)
	s.mu.Lock()
	current := t.objects[key]
	s.mu.Unlock()
	if current == nil && create == nil {
		return answer{}, apierrors.NewNotFound(t.GroupResource(), r.name)
	}
	next, err := do(current)
	if err != nil {
		return answer{}, err
	}
	u := &unstructured.Unstructured{Object: next}
	if err := s.admissible(r, u); err != nil && (current == nil || !apierrors.IsForbidden(err)) {
		return answer{}, err
	}
	u.SetName(r.name)
	if current != nil && r.subresource == "status" {
		next = onlyStatus(current, next, u.GetResourceVersion(), u.GetUID())
	}
	if next, err = s.admit(r, current, next); err != nil {
		return answer{}, err
	}
	if current == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.objects[key] != nil {
			return answer{}, errRaced
		}
		return create(next)
	}
	if err := prepare(r, current, next); err != nil {
		return answer{}, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	switch now := t.objects[key]; {
	case now == nil:
		return answer{}, apierrors.NewNotFound(t.GroupResource(), r.name)
	case now != current:
		return answer{}, errRaced
	}
	u = &unstructured.Unstructured{Object: next}
	if current.terminating() && len(u.GetFinalizers()) == 0 && !r.dryRun() {
		s.store(t, current, nil)
		return r.object(http.StatusOK, newObject(next, current.version)), nil
	}
	u.SetResourceVersion(current.meta().GetResourceVersion())
	if reflect.DeepEqual(next, current.content) {
		return r.done(http.StatusOK, current), nil
	}
	if r.dryRun() {
		return r.object(http.StatusOK, newObject(next, current.version)), nil
	}
	if m, ok := t.managed[key]; ok && r.committed == nil {
		m.changed(r.manager(), current.content, next)
	}
	return r.done(http.StatusOK, s.store(t, current, next)), nil
}

// onlyStatus returns the object with the status of the next one, and what of its metadata is about the request itself.
func onlyStatus(current *object, next map[string]any, version string, uid types.UID) map[string]any {
	out := current.copy()
	if status, ok := next["status"]; ok {
		out["status"] = status
	} else {
		delete(out, "status")
	}
	u := &unstructured.Unstructured{Object: out}
	u.SetResourceVersion(version)
	if uid != "" {
		u.SetUID(uid)
	}
	return out
}

// prepare checks the next content against the present object and fills in what is not the client's to say.
func prepare(r *request, current *object, next map[string]any) error {
	t, old := r.table, current.meta()
	u := &unstructured.Unstructured{Object: next}
	switch version := u.GetResourceVersion(); {
	case version == "" && !t.Unconditional:
		return invalid(schema.GroupKind{Group: t.Group, Kind: t.GroupResource().Resource}, r.name, "metadata.resourceVersion: Invalid value: 0: must be specified for an update")
	case version != "" && version != old.GetResourceVersion():
		return conflict(r, errors.New(modified))
	}
	if u.GetUID() == "" {
		u.SetUID(old.GetUID())
	}
	if u.GetUID() != old.GetUID() {
		return invalid(t.GroupKind(), r.name, fmt.Sprintf("metadata.uid: Invalid value: %q: field is immutable", u.GetUID()))
	}
	for _, field := range []string{"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "generateName"} {
		if value, ok, _ := unstructured.NestedFieldNoCopy(old.Object, "metadata", field); ok {
			_ = unstructured.SetNestedField(next, value, "metadata", field) // metadata is a map
		} else {
			unstructured.RemoveNestedField(next, "metadata", field)
		}
	}
	unstructured.RemoveNestedField(next, "metadata", "managedFields")
	tidy(next)
	if t.Status && r.subresource == "" {
		if status, ok := current.content["status"]; ok {
			next["status"] = status
		} else {
			delete(next, "status")
		}
	}
	if err := validate(t.GroupKind(), u); err != nil {
		return err
	}
	if old.GetDeletionTimestamp() != nil {
		for _, finalizer := range u.GetFinalizers() {
			if !slices.Contains(old.GetFinalizers(), finalizer) {
				return invalid(t.GroupKind(), r.name, fmt.Sprintf("metadata.finalizers: Forbidden: no new finalizers can be added "+
					"if the object is being deleted, found new finalizers []string{%q}", finalizer))
			}
		}
	}
	if t.Generation && !sameSpec(current.content, next) {
		u.SetGeneration(old.GetGeneration() + 1)
	}
	return nil
}

// sameSpec tells whether the contents differ in metadata and status at most.
func sameSpec(a, b map[string]any) bool {
	count := func(m map[string]any) (n int) {
		for field := range m {
			if field != "metadata" && field != "status" {
				n++
			}
		}
		return n
	}
	for field, value := range a {
		if field != "metadata" && field != "status" && !reflect.DeepEqual(value, b[field]) {
			return false
		}
	}
	return count(a) == count(b)
}
