package simapi

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/merge"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
	"sigs.k8s.io/structured-merge-diff/v6/value"
	"sigs.k8s.io/yaml"
)

// managers is who manages which fields of an object. It is known from the first time that the object is applied; what it
// had by then belongs to a manager of its own, as in the API server for objects without managedFields.
type managers struct{ fields fieldpath.ManagedFields }

const beforeFirstApply = "before-first-apply"

// oneVersion is the only version there is of anything, so there is nothing to convert.
type oneVersion struct{}

func (oneVersion) Convert(object *typed.TypedValue, _ fieldpath.APIVersion) (*typed.TypedValue, error) {
	return object, nil
}
func (oneVersion) IsMissingVersionError(error) bool { return false }

const anyVersion = fieldpath.APIVersion("any")

func updater() *merge.Updater {
	return (&merge.UpdaterBuilder{Converter: oneVersion{}}).BuildUpdater()
}

// shared are the fields of metadata that a client may manage.
var shared = []string{"labels", "annotations", "finalizers", "ownerReferences"}

// manageable returns the part of a content that has managers.
func manageable(content map[string]any) (*typed.TypedValue, error) {
	part := map[string]any{}
	for field, value := range content {
		if field != "metadata" && field != "apiVersion" && field != "kind" {
			part[field] = value
		}
	}
	meta := map[string]any{}
	for _, field := range shared {
		if value, ok, _ := unstructured.NestedFieldNoCopy(content, "metadata", field); ok {
			meta[field] = value
		}
	}
	if len(meta) > 0 {
		part["metadata"] = meta
	}
	return typed.DeducedParseableType.FromUnstructured(part)
}

// manager returns the name of the field manager of a request.
func (r *request) manager() string {
	if name := r.query.Get("fieldManager"); name != "" {
		return name
	}
	return "unknown"
}

// changed takes fields that somebody updated away from those who applied them.
func (m managers) changed(by string, before, after map[string]any) {
	old, err1 := manageable(before)
	updated, err2 := manageable(after)
	if err1 != nil || err2 != nil {
		return // what was stored can be typed
	}
	if _, fields, err := updater().Update(old, updated, anyVersion, m.fields, by+"/Update"); err == nil {
		for name := range m.fields {
			delete(m.fields, name)
		}
		for name, set := range fields {
			m.fields[name] = set
		}
	}
}

// apply works on a server-side apply.
func (s *Server) apply(r *request) (answer, error) {
	if r.query.Get("fieldManager") == "" {
		return answer{}, invalidOptions("PatchOptions", "fieldManager: Required value: is required for apply patch")
	}
	data, err := yaml.YAMLToJSON(r.body)
	if err != nil {
		return answer{}, apierrors.NewBadRequest(fmt.Sprintf("error decoding YAML: %v", err))
	}
	applied, err := decode(data)
	if err != nil {
		return answer{}, apierrors.NewBadRequest(err.Error())
	}
	wanted := &unstructured.Unstructured{Object: applied}
	force, _ := strconv.ParseBool(r.query.Get("force"))
	do := func(current *object) (map[string]any, error) {
		base := map[string]any{"metadata": map[string]any{}}
		m := managers{fieldpath.ManagedFields{}}
		if current != nil {
			base = current.copy()
			if m, err = s.managersOf(r, current); err != nil {
				return nil, err
			}
		} else if wanted.GetUID() != "" {
			return nil, conflict(r, fmt.Errorf("uid mismatch: the provided object specified uid %s, and no existing object was found", wanted.GetUID()))
		}
		next, fields, err := m.apply(base, applied, r.manager(), force)
		if err != nil {
			return nil, err
		}
		r.committed = func(o *object) { r.table.managed[o.key] = managers{fields} }
		u := &unstructured.Unstructured{Object: next}
		u.SetGroupVersionKind(wanted.GroupVersionKind())
		if wanted.GetName() != "" {
			u.SetName(wanted.GetName())
		}
		if wanted.GetNamespace() != "" {
			u.SetNamespace(wanted.GetNamespace())
		}
		if wanted.GetUID() != "" {
			u.SetUID(wanted.GetUID())
		}
		if wanted.GetResourceVersion() != "" {
			u.SetResourceVersion(wanted.GetResourceVersion())
		}
		return next, nil
	}
	return s.update(r, do, func(content map[string]any) (answer, error) {
		(&unstructured.Unstructured{Object: content}).SetName(r.name)
		return s.insert(r, content)
	})
}

// managersOf returns a copy of what is known of the managers of an object.
func (s *Server) managersOf(r *request, o *object) (managers, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := r.table.managed[o.key]; ok {
		return managers{m.fields.Copy()}, nil
	}
	all, err := manageable(o.content)
	if err != nil {
		return managers{}, err
	}
	set, err := all.ToFieldSet()
	if err != nil {
		return managers{}, err
	}
	return managers{fieldpath.ManagedFields{beforeFirstApply: fieldpath.NewVersionedSet(set, anyVersion, false)}}, nil
}

// apply merges what is applied into the base, which it changes, and returns the result with its managers.
func (m managers) apply(base, applied map[string]any, manager string, force bool) (map[string]any, fieldpath.ManagedFields, error) {
	live, err := manageable(base)
	if err != nil {
		return nil, nil, err
	}
	config, err := manageable(applied)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	merged, fields, err := updater().Apply(live, config, anyVersion, m.fields, manager+"/Apply", force)
	if conflicts := (merge.Conflicts)(nil); errors.As(err, &conflicts) {
		return nil, nil, applyConflict(conflicts)
	}
	if err != nil {
		return nil, nil, err
	}
	if merged == nil {
		return base, fields, nil // nothing changes
	}
	part, _ := value.Value(merged.AsValue()).Unstructured().(map[string]any)
	part = runtime.DeepCopyJSON(part)
	for field := range base {
		if field != "metadata" && field != "apiVersion" && field != "kind" {
			delete(base, field)
		}
	}
	meta := base["metadata"].(map[string]any)
	for _, field := range shared {
		delete(meta, field)
	}
	for field, value := range part {
		if field != "metadata" {
			base[field] = value
			continue
		}
		if fields, ok := value.(map[string]any); ok {
			for name, value := range fields {
				meta[name] = value
			}
		}
	}
	return base, fields, nil
}

func applyConflict(conflicts merge.Conflicts) error {
	var causes []metav1.StatusCause
	for _, c := range conflicts {
		causes = append(causes, metav1.StatusCause{
			Type: metav1.CauseTypeFieldManagerConflict, Message: fmt.Sprintf("conflict with %q", c.Manager), Field: c.Path.String(),
		})
	}
	return apierrors.NewApplyConflict(causes, fmt.Sprintf("Apply failed with %d conflicts: %v", len(conflicts), conflicts))
}

// statusError returns an error without details.
func statusError(code int32, message string) *apierrors.StatusError {
	var reason metav1.StatusReason
	switch code {
	case http.StatusUnprocessableEntity:
		reason = metav1.StatusReasonInvalid
	case http.StatusUnsupportedMediaType:
		reason = metav1.StatusReasonUnsupportedMediaType
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

func invalidOptions(kind, problem string) error {
	return invalid(metav1.SchemeGroupVersion.WithKind(kind).GroupKind(), "", problem)
}
