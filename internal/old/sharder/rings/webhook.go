package rings

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionac "k8s.io/client-go/applyconfigurations/admissionregistration/v1"
	metaac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/clusterring/clusterring/internal/old/sharder/admission"
	"github.com/clusterring/clusterring/internal/old/sharder/placement"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
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

// desiredConfiguration returns the webhook configuration that a ring should have. It has no webhooks as long as none of the
// ring's resources is known.
func desiredConfiguration(r *snapshot.Ring, webhook Webhook, caBundle []byte, sharderNamespace string) *admissionac.MutatingWebhookConfigurationApplyConfiguration {
	ring := r.Object
	configuration := admissionac.MutatingWebhookConfiguration(configurationName(ring.Name)).
		WithLabels(map[string]string{v1alpha1.LabelRing: ring.Name}).
		WithOwnerReferences(metaac.OwnerReference().
			WithAPIVersion(v1alpha1.SchemeGroupVersion.String()).WithKind("ClusterRing").
			WithName(ring.Name).WithUID(ring.UID).WithController(true))

	var main, controlled []resources.Resource
	for _, m := range r.Main {
		main = append(main, m.Resource)
		controlled = append(controlled, m.Controlled...)
	}
	if len(main) > 0 {
		configuration.WithWebhooks(desiredWebhook("main", r, webhook, caBundle, sharderNamespace, main))
	}
	if len(controlled) > 0 {
		configuration.WithWebhooks(desiredWebhook("controlled", r, webhook, caBundle, sharderNamespace, controlled).
			WithMatchConditions(admissionac.MatchCondition().
				WithName("controlled-by-the-ring").
				WithExpression(controlledExpression(r.Main))))
	}
	return configuration
}

func desiredWebhook(part string, r *snapshot.Ring, webhook Webhook, caBundle []byte, sharderNamespace string, of []resources.Resource) *admissionac.MutatingWebhookApplyConfiguration {
	return admissionac.MutatingWebhook().
		WithName(part + "." + r.Object.Name + "." + sharding.GroupName).
		WithClientConfig(clientConfig(webhook, r.Object.Name, caBundle)).
		WithRules(rules(of)...).
		WithObjectSelector(metaac.LabelSelector().WithMatchExpressions(
			metaac.LabelSelectorRequirement().WithKey(v1alpha1.ShardLabel(r.Object.Name)).WithOperator(metav1.LabelSelectorOpDoesNotExist))).
		WithNamespaceSelector(namespaceSelector(r.Object, sharderNamespace)).
		WithMatchPolicy(admissionregistrationv1.Equivalent).
		WithFailurePolicy(admissionregistrationv1.Ignore).
		WithReinvocationPolicy(admissionregistrationv1.NeverReinvocationPolicy).
		WithSideEffects(admissionregistrationv1.SideEffectClassNone).
		WithTimeoutSeconds(webhookTimeoutSeconds).
		WithAdmissionReviewVersions("v1")
}

func clientConfig(webhook Webhook, ring string, caBundle []byte) *admissionac.WebhookClientConfigApplyConfiguration {
	config := admissionac.WebhookClientConfig()
	if len(caBundle) > 0 {
		config.WithCABundle(caBundle...)
	}
	if webhook.URL != "" {
		return config.WithURL(strings.TrimSuffix(webhook.URL, "/") + admission.Path(ring))
	}
	return config.WithService(admissionac.ServiceReference().
		WithNamespace(webhook.ServiceNamespace).WithName(webhook.ServiceName).
		WithPort(webhook.ServicePort).WithPath(admission.Path(ring)))
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
			WithOperations(admissionregistrationv1.Create, admissionregistrationv1.Update).
			WithAPIGroups(group).WithAPIVersions("*").WithResources(byGroup[group]...).
			WithScope(admissionregistrationv1.AllScopes))
	}
	return out
}

func namespaceSelector(ring *v1alpha1.ClusterRing, sharderNamespace string) *metaac.LabelSelectorApplyConfiguration {
	wanted := ring.Spec.NamespaceSelector
	if wanted == nil {
		wanted = placement.DefaultNamespaceSelector(sharderNamespace)
	}
	selector := metaac.LabelSelector()
	if len(wanted.MatchLabels) > 0 {
		selector.WithMatchLabels(wanted.MatchLabels)
	}
	for _, e := range wanted.MatchExpressions {
		selector.WithMatchExpressions(metaac.LabelSelectorRequirement().WithKey(e.Key).WithOperator(e.Operator).WithValues(e.Values...))
	}
	return selector
}

// controlledExpression returns a CEL expression that is true for objects whose controller is a main object of the ring, so
// that the API server does not ask about any others.
func controlledExpression(mains []snapshot.Main) string {
	var families []string
	for _, m := range mains {
		if len(m.Controlled) == 0 {
			continue
		}
		var children []string
		for _, c := range m.Controlled {
			children = append(children, fmt.Sprintf("%q", c.GVR.Resource+"."+c.GVR.Group))
		}
		version := fmt.Sprintf("ref.apiVersion.startsWith(%q)", m.GVR.Group+"/")
		if m.GVR.Group == "" {
			version = `!ref.apiVersion.contains("/")`
		}
		families = append(families, fmt.Sprintf(`(ref.kind == %q && %s && (request.resource.resource + "." + request.resource.group) in [%s])`,
			m.Kind, version, strings.Join(children, ", ")))
	}
	return "object.metadata.?ownerReferences.orValue([]).exists(ref, ref.?controller.orValue(false) && (" + strings.Join(families, " || ") + "))"
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

// upToDate tells whether a configuration is as desired, and has nothing in its webhooks that is not.
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
