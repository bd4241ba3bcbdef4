package rings

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/admission"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Webhook says where the API server finds the sharder's admission server.
type Webhook struct {
	// URL is used if it is not empty: https://host:port, without a path.
	URL string
	// ServiceNamespace, ServiceName and ServicePort are used otherwise.
	ServiceNamespace, ServiceName string
	ServicePort                   int32
}

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
	webhook   Webhook
	caBundle  []byte
}

// configuration returns the webhook configuration that a ring should have. It has no webhooks if there is nothing to label.
//
// The API server asks about every new main object: a label that came with it may be a copy. It asks about a new controlled
// object only if that has no label, and a controller that can belong to the ring.
func (r registration) configuration() *admissionac.MutatingWebhookConfigurationApplyConfiguration {
	configuration := admissionac.MutatingWebhookConfiguration(configurationName(r.ring.Name)).
		WithLabels(map[string]string{wire.LabelRing: r.ring.Name}).
		WithOwnerReferences(metaac.OwnerReference().
			WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).WithKind("ClusterRing").
			WithName(r.ring.Name).WithUID(r.ring.UID).WithController(true))
	var main, controlled []resources.Resource
	for _, m := range r.mains {
		main = append(main, m.Resource)
		controlled = append(controlled, m.Controlled...)
	}
	if len(main) > 0 {
		configuration.WithWebhooks(r.entry("main", main).
			WithObjectSelector(metaac.LabelSelector()).
			WithNamespaceSelector(selector(snapshot.NamespaceSelector(r.ring, r.namespace))))
	}
	if len(controlled) > 0 {
		configuration.WithWebhooks(r.entry("controlled", controlled).
			WithObjectSelector(metaac.LabelSelector().WithMatchExpressions(metaac.LabelSelectorRequirement().
				WithKey(wire.SlotLabel(r.ring.Name)).WithOperator(metav1.LabelSelectorOpDoesNotExist))).
			WithNamespaceSelector(selector(r.childNamespaces())).
			WithMatchConditions(admissionac.MatchCondition().
				WithName("controlled-by-the-ring").WithExpression(controlledExpression(r.mains))))
	}
	return configuration
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

func (r registration) entry(part string, of []resources.Resource) *admissionac.MutatingWebhookApplyConfiguration {
	return admissionac.MutatingWebhook().
		WithName(part + "." + r.ring.Name + "." + sharding.GroupName).
		WithClientConfig(r.clientConfig()).
		WithRules(rules(of)...).
		WithMatchPolicy(admissionregistrationv1.Equivalent).
		WithFailurePolicy(admissionregistrationv1.Ignore).
		WithReinvocationPolicy(admissionregistrationv1.NeverReinvocationPolicy).
		WithSideEffects(admissionregistrationv1.SideEffectClassNone).
		WithTimeoutSeconds(webhookTimeoutSeconds).
		WithAdmissionReviewVersions("v1")
}

func (r registration) clientConfig() *admissionac.WebhookClientConfigApplyConfiguration {
	config := admissionac.WebhookClientConfig()
	if len(r.caBundle) > 0 {
		config.WithCABundle(r.caBundle...)
	}
	path := admission.Path(r.ring.Name)
	if r.webhook.URL != "" {
		return config.WithURL(strings.TrimSuffix(r.webhook.URL, "/") + path)
	}
	return config.WithService(admissionac.ServiceReference().
		WithNamespace(r.webhook.ServiceNamespace).WithName(r.webhook.ServiceName).
		WithPort(r.webhook.ServicePort).WithPath(path))
}

// rules returns a rule for each group. Versions do not matter, because labels are the same in all of them.
func rules(of []resources.Resource) []*admissionac.RuleWithOperationsApplyConfiguration {
	byGroup := map[string][]string{}
	var groups []string
	for _, r := range of {
		group := r.GVR.Group
		if _, ok := byGroup[group]; !ok {
			groups = append(groups, group)
		}
		if !slices.Contains(byGroup[group], r.GVR.Resource) {
			byGroup[group] = append(byGroup[group], r.GVR.Resource)
		}
	}
	var out []*admissionac.RuleWithOperationsApplyConfiguration
	for _, group := range groups {
		out = append(out, admissionac.RuleWithOperations().
			WithOperations(admissionregistrationv1.Create).
			WithAPIGroups(group).WithAPIVersions("*").WithResources(byGroup[group]...).
			WithScope(admissionregistrationv1.AllScopes))
	}
	return out
}

func selector(of *metav1.LabelSelector) *metaac.LabelSelectorApplyConfiguration {
	out := metaac.LabelSelector()
	if len(of.MatchLabels) > 0 {
		out.WithMatchLabels(of.MatchLabels)
	}
	for _, e := range of.MatchExpressions {
		out.WithMatchExpressions(metaac.LabelSelectorRequirement().WithKey(e.Key).WithOperator(e.Operator).WithValues(e.Values...))
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

// typed returns the webhooks of an apply configuration as the API server would return them. It sets all fields, so there
// are no defaults to fill in.
func typed(configuration *admissionac.MutatingWebhookConfigurationApplyConfiguration) (*admissionregistrationv1.MutatingWebhookConfiguration, error) {
	data, err := json.Marshal(configuration)
	if err != nil {
		return nil, err
	}
	out := &admissionregistrationv1.MutatingWebhookConfiguration{}
	return out, json.Unmarshal(data, out)
}

// upToDate reports whether a configuration is as desired, and has nothing in its webhooks that is not.
func upToDate(have, want *admissionregistrationv1.MutatingWebhookConfiguration) bool {
	for key, value := range want.Labels {
		if have.Labels[key] != value {
			return false
		}
	}
	return slices.ContainsFunc(have.OwnerReferences, func(ref metav1.OwnerReference) bool {
		return equality.Semantic.DeepEqual(ref, want.OwnerReferences[0])
	}) && equality.Semantic.DeepEqual(have.Webhooks, want.Webhooks)
}
