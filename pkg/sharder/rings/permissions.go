package rings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// neededVerbs are what the sharder must be allowed to do with sharded resources.
var neededVerbs = []string{"get", "list", "watch", "patch"}

// missing is a resource and the verbs that the sharder is not allowed.
type missing struct {
	resource schema.GroupResource
	verbs    []string
}

// permissions is what was last found out about the permissions for a ring's resources.
type permissions struct {
	of      []schema.GroupResource
	missing []missing
	next    time.Time
}

// granted returns those of the main resources, with those of their controlled resources, that nothing is missing for.
func (p permissions) granted(mains []snapshot.Main) []snapshot.Main {
	lacks := func(r resources.Resource) bool {
		return slices.ContainsFunc(p.missing, func(m missing) bool { return m.resource == r.GroupResource() })
	}
	var out []snapshot.Main
	for _, m := range mains {
		if !lacks(m.Resource) {
			controlled := slices.DeleteFunc(slices.Clone(m.Controlled), lacks)
			out = append(out, snapshot.Main{Resource: m.Resource, Controlled: controlled})
		}
	}
	return out
}

// permissionsFor returns the permissions for the ring's resources. It asks again when it is time or the resources are
// others.
func (c *Controller) permissionsFor(ctx context.Context, r *snapshot.Ring) (permissions, error) {
	of := resolved(r)
	now := time.Now()
	known := c.memory(r.Object.Name).permissions
	if known != nil && now.Before(known.next) && slices.Equal(known.of, of) {
		return *known, nil
	}
	p := permissions{of: of}
	for _, gr := range of {
		verbs, err := c.forbidden(ctx, gr)
		if err != nil {
			return permissions{}, err
		}
		if len(verbs) > 0 {
			p.missing = append(p.missing, missing{resource: gr, verbs: verbs})
		}
	}
	again := permissionInterval
	if len(p.missing) > 0 {
		again = retryInterval
	}
	p.next = now.Add(wait.Jitter(again, 0.2))
	c.memory(r.Object.Name).permissions = &p
	return p, nil
}

// forbidden returns the verbs that the sharder needs for the resource and does not have.
func (c *Controller) forbidden(ctx context.Context, gr schema.GroupResource) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var verbs []string
	for _, verb := range neededVerbs {
		review, err := c.cfg.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: verb, Group: gr.Group, Resource: gr.Resource,
			}},
		}, metav1.CreateOptions{})
		if err != nil {
			return nil, fmt.Errorf("check the permission to %s %s: %w", verb, gr, err)
		}
		if !review.Status.Allowed {
			verbs = append(verbs, verb)
		}
	}
	return verbs, nil
}

// resolved returns all resources of the ring that the API server serves.
func resolved(r *snapshot.Ring) []schema.GroupResource {
	var out []schema.GroupResource
	for _, m := range r.Main {
		out = append(out, m.GroupResource())
	}
	for _, c := range r.Controlled() {
		out = append(out, c.GroupResource())
	}
	return out
}

// aggregateLabel is what the ClusterRole of the installation manifests collects rules by.
const aggregateLabel = `sharding.clusterring.dev/aggregate-to-sharder: "true"`

// condition says what is missing and gives the rules to add.
func (p permissions) condition() metav1.Condition {
	if len(p.missing) == 0 {
		return metav1.Condition{Type: PermissionsGranted, Status: metav1.ConditionTrue, Reason: "Granted",
			Message: "The sharder may get, list, watch and patch the resources of the ring."}
	}
	var lacks, rules []string
	for _, m := range p.missing {
		lacks = append(lacks, strings.Join(m.verbs, ", ")+" "+m.resource.String())
		rules = append(rules, fmt.Sprintf(`- {apiGroups: [%q], resources: [%q], verbs: ["%s"]}`,
			m.resource.Group, m.resource.Resource, strings.Join(neededVerbs, `", "`)))
	}
	return metav1.Condition{Type: PermissionsGranted, Status: metav1.ConditionFalse, Reason: "MissingPermission", Message: fmt.Sprintf(
		"The sharder is not allowed to %s, so it does not label these objects. Add to the rules of a ClusterRole that is bound to the sharder, such as one with the label %s: %s",
		strings.Join(lacks, "; "), aggregateLabel, strings.Join(rules, " "))}
}
