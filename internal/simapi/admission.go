package simapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

var configurations = schema.GroupResource{Group: "admissionregistration.k8s.io", Resource: "mutatingwebhookconfigurations"}

// admit calls the mutating webhooks for the content that is about to be stored, one after the other in the order of their
// configurations' names, and returns what they made of it. current is nil for a new object.
func (s *Server) admit(r *request, current *object, content map[string]any) (map[string]any, error) {
	if s.cfg.Webhooks == nil || r.table.GroupResource() == configurations {
		return content, nil // the real one asks nobody about webhook configurations, either
	}
	operation := admissionregistrationv1.Create
	if current != nil {
		operation = admissionregistrationv1.Update
	}
	webhooks, namespace := s.webhooks(r)
	for _, w := range webhooks {
		if !called(w, r, operation, current, content, namespace) {
			continue
		}
		patched, err := s.call(r, w, operation, current, content)
		switch {
		case err == nil:
			content = patched
		case r.ctx.Err() != nil:
			return nil, r.ctx.Err()
		case errors.Is(err, errDenied):
			return nil, statusError(http.StatusBadRequest, fmt.Sprintf("admission webhook %q denied the request", w.Name))
		case errors.Is(err, errNotApplied):
			return nil, apierrors.NewInternalError(err)
		case ptr.Deref(w.FailurePolicy, admissionregistrationv1.Fail) == admissionregistrationv1.Fail:
			return nil, apierrors.NewInternalError(fmt.Errorf("failed calling webhook %q: %w", w.Name, err))
		}
	}
	return content, nil
}

// webhooks returns all webhooks that the replica knows, and the labels of the namespace of the request.
func (s *Server) webhooks(r *request) ([]admissionregistrationv1.MutatingWebhook, labels.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var webhooks []admissionregistrationv1.MutatingWebhook
	if t, ok := s.tables[configurations]; ok {
		for _, o := range sorted(t.views[r.replica].objects) {
			webhooks = append(webhooks, o.webhooks()...)
		}
	}
	var namespace labels.Set
	if t, ok := s.tables[namespaces]; ok && r.namespace != "" {
		if o := t.objects[keyOf("", r.namespace)]; o != nil {
			namespace = o.labels
		}
	}
	return webhooks, namespace
}

// hooks are the webhooks of a configuration, read once.
type hooks struct {
	once sync.Once
	list []admissionregistrationv1.MutatingWebhook
}

func (o *object) webhooks() []admissionregistrationv1.MutatingWebhook {
	o.hooks.once.Do(func() {
		configuration := &admissionregistrationv1.MutatingWebhookConfiguration{}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.content, configuration); err == nil {
			o.hooks.list = configuration.Webhooks
		}
	})
	return o.hooks.list
}

// called tells whether the webhook is to be called.
func called(w admissionregistrationv1.MutatingWebhook, r *request, operation admissionregistrationv1.OperationType, current *object, content map[string]any, namespace labels.Set) bool {
	resource := r.table.Resource.Resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	has := func(list []string, value string) bool {
		return slices.Contains(list, value) || slices.Contains(list, "*")
	}
	if !slices.ContainsFunc(w.Rules, func(rule admissionregistrationv1.RuleWithOperations) bool {
		scope := ptr.Deref(rule.Scope, admissionregistrationv1.AllScopes)
		return (slices.Contains(rule.Operations, operation) || slices.Contains(rule.Operations, admissionregistrationv1.OperationAll)) &&
			has(rule.APIGroups, r.table.Group) && has(rule.APIVersions, r.table.Version) && has(rule.Resources, resource) &&
			(scope == admissionregistrationv1.AllScopes || (scope == admissionregistrationv1.NamespacedScope) == r.table.Namespaced)
	}) {
		return false
	}
	matches := func(selector *metav1.LabelSelector, sets ...labels.Set) bool {
		parsed, err := metav1.LabelSelectorAsSelector(selector)
		if selector == nil || err != nil {
			return err == nil
		}
		return slices.ContainsFunc(sets, func(set labels.Set) bool { return parsed.Matches(set) })
	}
	if r.table.GroupResource() == namespaces {
		namespace = (&unstructured.Unstructured{Object: content}).GetLabels()
	}
	if (r.table.Namespaced || r.table.GroupResource() == namespaces) && !matches(w.NamespaceSelector, namespace) {
		return false
	}
	sets := []labels.Set{(&unstructured.Unstructured{Object: content}).GetLabels()}
	if current != nil {
		sets = append(sets, current.labels)
	}
	return matches(w.ObjectSelector, sets...)
}

// errDenied is the answer of a webhook that does not allow the request.
var errDenied = errors.New("denied")

// errNotApplied says that the patch of a webhook cannot be applied. The API server takes that for an error of its own, so the request
// fails whatever the webhook's failure policy is.
var errNotApplied = errors.New("patch can't be applied")

// call asks one webhook. An error other than errDenied and errNotApplied says that there was no answer.
func (s *Server) call(r *request, w admissionregistrationv1.MutatingWebhook, operation admissionregistrationv1.OperationType, current *object, content map[string]any) (map[string]any, error) {
	object, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.uids++
	uid := types.UID(fmt.Sprintf("review-%d", s.uids))
	s.mu.Unlock()
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: uid, Operation: admissionv1.Operation(operation), SubResource: r.subresource,
			Kind:     metav1.GroupVersionKind(r.table.GroupVersion().WithKind(r.table.Kind)),
			Resource: metav1.GroupVersionResource(r.table.GroupVersionResource),
			Name:     (&unstructured.Unstructured{Object: content}).GetName(), Namespace: r.namespace,
			Object: runtime.RawExtension{Raw: object}, DryRun: ptr.To(r.dryRun()),
		},
	}
	if current != nil {
		review.Request.OldObject.Raw = current.json(false)
	}
	body, err := json.Marshal(review)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, time.Duration(ptr.Deref(w.TimeoutSeconds, 10))*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address(w.ClientConfig), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.cfg.Webhooks.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	review = admissionv1.AdmissionReview{}
	if err := json.Unmarshal(data, &review); resp.StatusCode != http.StatusOK || err != nil || review.Response == nil || review.Response.UID != uid {
		return nil, fmt.Errorf("answer %d: %q", resp.StatusCode, data)
	}
	if !review.Response.Allowed {
		return nil, errDenied
	}
	if hasPatch := len(review.Response.Patch) > 0; hasPatch != (review.Response.PatchType != nil) {
		return nil, errors.New("patch and patchType come together")
	} else if !hasPatch {
		return content, nil
	}
	patched, err := jsonPatch(object, review.Response.Patch)
	if err != nil && !apierrors.IsBadRequest(err) { // which says that it is no patch at all
		return nil, fmt.Errorf("%w: %w", errNotApplied, err)
	}
	return patched, err
}

// address returns the URL of a webhook.
func address(c admissionregistrationv1.WebhookClientConfig) string {
	if c.Service == nil {
		return ptr.Deref(c.URL, "")
	}
	return fmt.Sprintf("https://%s.%s.svc:%d%s", c.Service.Name, c.Service.Namespace, ptr.Deref(c.Service.Port, 443), ptr.Deref(c.Service.Path, ""))
}
