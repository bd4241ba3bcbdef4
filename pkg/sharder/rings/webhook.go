package rings

import (
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/admission"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// configurationName returns the name of a ring's webhook configuration.
func configurationName(ring string) string { return "clusterring-" + ring }

// webhookTimeoutSeconds is the shortest time that the API allows: as long as a sharder that hangs may delay a request.
const webhookTimeoutSeconds = 1

// registration is what a webhook configuration is made of.
type registration struct {
	ring  *v1alpha1.ClusterRing
	mains []snapshot.Main // those that the sharder may label
	// namespace is the sharder's own.
	namespace string
	webhook   config.Webhook
	caBundle  []byte
}

// configuration returns the webhook configuration that a ring should have. It has no webhooks if there is nothing to label.
//
// The API server asks about every new main object: a label that came with it may be a copy. It asks about a new controlled
// object only if that has no label, and a controller that can belong to the ring.
func (r registration) configuration() *admissionregistrationv1.MutatingWebhookConfiguration {
	owner := metav1.NewControllerRef(r.ring, v1alpha1.SchemeGroupVersion.WithKind("ClusterRing"))
	owner.BlockOwnerDeletion = nil // It would ask for more rights.
	out := &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{
		Name: configurationName(r.ring.Name), Labels: map[string]string{wire.LabelRing: r.ring.Name},
		OwnerReferences: []metav1.OwnerReference{*owner},
	}}
	var main, controlled []resources.Resource
	for _, m := range r.mains {
		main = append(main, m.Resource)
		for _, c := range m.Controlled {
			if !slices.Contains(controlled, c) { // of another main resource, too
				controlled = append(controlled, c)
			}
		}
	}
	if len(main) > 0 {
		entry := r.entry("main", main)
		entry.ObjectSelector = &metav1.LabelSelector{}
		entry.NamespaceSelector = snapshot.NamespaceSelector(r.ring, r.namespace)
		out.Webhooks = append(out.Webhooks, entry)
	}
	if len(controlled) > 0 {
		entry := r.entry("controlled", controlled)
		entry.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: wire.SlotLabel(r.ring.Name), Operator: metav1.LabelSelectorOpDoesNotExist,
		}}}
		entry.NamespaceSelector = r.childNamespaces()
		entry.MatchConditions = []admissionregistrationv1.MatchCondition{{
			Name: "controlled-by-the-ring", Expression: controlledExpression(r.mains),
		}}
		out.Webhooks = append(out.Webhooks, entry)
	}
	return out
}

// childNamespaces returns where controlled objects can be. A child is where its root is: in the namespace of its root, or,
// under a cluster-scoped one, in any. Of these only the sharder's own is left to the audit, so that its pods never wait for
// a sharder that does not answer. The match condition spares the others nearly all calls.
func (r registration) childNamespaces() *metav1.LabelSelector {
	if !slices.ContainsFunc(r.mains, func(m snapshot.Main) bool { return !m.Namespaced && len(m.Controlled) > 0 }) {
		return snapshot.NamespaceSelector(r.ring, r.namespace)
	}
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: []string{r.namespace},
	}}}
}

// entry returns a webhook with all fields set, so that there are no defaults that the API server would fill in.
func (r registration) entry(part string, of []resources.Resource) admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name:                    part + "." + r.ring.Name + "." + sharding.GroupName,
		ClientConfig:            r.clientConfig(),
		Rules:                   rules(of),
		MatchPolicy:             ptr.To(admissionregistrationv1.Equivalent),
		FailurePolicy:           ptr.To(admissionregistrationv1.Ignore),
		ReinvocationPolicy:      ptr.To(admissionregistrationv1.NeverReinvocationPolicy),
		SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          ptr.To[int32](webhookTimeoutSeconds),
		AdmissionReviewVersions: []string{"v1"},
	}
}

func (r registration) clientConfig() admissionregistrationv1.WebhookClientConfig {
	config, path := admissionregistrationv1.WebhookClientConfig{CABundle: r.caBundle}, admission.Path(r.ring.Name)
	if r.webhook.URL != "" {
		config.URL = ptr.To(strings.TrimSuffix(r.webhook.URL, "/") + path)
		return config
	}
	config.Service = &admissionregistrationv1.ServiceReference{
		Namespace: r.namespace, Name: r.webhook.ServiceName, Port: &r.webhook.ServicePort, Path: &path,
	}
	return config
}

// rules returns a rule for each resource. Versions do not matter, because labels are the same in all of them.
func rules(of []resources.Resource) (out []admissionregistrationv1.RuleWithOperations) {
	for _, r := range of {
		out = append(out, admissionregistrationv1.RuleWithOperations{
			Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
			Rule: admissionregistrationv1.Rule{
				APIGroups: []string{r.GVR.Group}, APIVersions: []string{"*"}, Resources: []string{r.GVR.Resource},
				Scope: ptr.To(admissionregistrationv1.AllScopes),
			},
		})
	}
	return out
}

// controlledExpression returns a CEL expression that is true for objects whose controller is of the kind of a main resource
// or, for deeper levels, of a controlled resource of the same family.
func controlledExpression(mains []snapshot.Main) string {
	var families []string
	for _, m := range mains {
		if len(m.Controlled) == 0 {
			continue
		}
		owners, children := []string{isOwner(m.Resource)}, []string(nil)
		for _, c := range m.Controlled {
			owners = append(owners, isOwner(c))
			children = append(children, fmt.Sprintf("%q", c.GVR.Resource+"."+c.GVR.Group))
		}
		families = append(families, fmt.Sprintf(`((request.resource.resource + "." + request.resource.group) in [%s] && (%s))`,
			strings.Join(children, ", "), strings.Join(owners, " || ")))
	}
	return "object.metadata.?ownerReferences.orValue([]).exists(ref, ref.?controller.orValue(false) && (" + strings.Join(families, " || ") + "))"
}

func isOwner(r resources.Resource) string {
	if r.GVR.Group == "" {
		return fmt.Sprintf(`ref.kind == %q && !ref.apiVersion.contains("/")`, r.Kind)
	}
	return fmt.Sprintf("ref.kind == %q && ref.apiVersion.startsWith(%q)", r.Kind, r.GVR.Group+"/")
}

// upToDate reports whether a configuration is as desired, and has nothing in its webhooks that is not.
func upToDate(have, want *admissionregistrationv1.MutatingWebhookConfiguration) bool {
	return have.Labels[wire.LabelRing] == want.Labels[wire.LabelRing] && slices.ContainsFunc(have.OwnerReferences, func(ref metav1.OwnerReference) bool {
		return equality.Semantic.DeepEqual(ref, want.OwnerReferences[0])
	}) && equality.Semantic.DeepEqual(have.Webhooks, want.Webhooks)
}
