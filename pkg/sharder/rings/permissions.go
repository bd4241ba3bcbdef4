package rings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// neededVerbs are what the sharder must be allowed to do with sharded resources, and leaseVerbs with Leases in the namespace of
// the ring's shards, beside reading all that have the ring's label.
var (
	neededVerbs = []string{"get", "list", "watch", "patch"}
	leaseVerbs  = []string{"get", "patch", "delete"}
	leases      = coordinationv1.Resource("leases")
)

// missing is a resource and the verbs that the sharder is not allowed.
type missing struct {
	resource schema.GroupResource
	verbs    []string
}

// permissions is what was last found out about the permissions for a ring's resources.
type permissions struct {
	of      []schema.GroupResource
	missing []missing
	// leases are the verbs that are missing for Leases in the namespace of the shards, and user is who misses them.
	leases          []string
	namespace, user string
	embedded        bool
	next            time.Time
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
	p := permissions{of: of, namespace: r.ShardNamespace}
	for _, gr := range of {
		verbs, err := c.forbidden(ctx, gr, "", neededVerbs)
		if err != nil {
			return permissions{}, err
		}
		if len(verbs) > 0 {
			p.missing = append(p.missing, missing{resource: gr, verbs: verbs})
		}
	}
	if p.namespace != "" {
		var err error
		if p.leases, err = c.forbidden(ctx, leases, p.namespace, leaseVerbs); err != nil {
			return permissions{}, err
		}
	}
	again := permissionInterval
	if len(p.missing) > 0 || len(p.leases) > 0 {
		p.user = c.user(ctx)
		again = retryInterval
	}
	p.embedded = c.cfg.Certificates == nil
	p.next = now.Add(wait.Jitter(again, 0.2))
	c.memory(r.Object.Name).permissions = &p
	return p, nil
}

// user returns by which name the API server knows the sharder.
func (c *Controller) user(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	review, err := c.cfg.Client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "system:serviceaccount:" + c.cfg.Namespace + ":sharder" // as in the installation manifests
	}
	return review.Status.UserInfo.Username
}

// forbidden returns those of the verbs that the sharder does not have for the resource in a namespace, or in all.
func (c *Controller) forbidden(ctx context.Context, gr schema.GroupResource, namespace string, needed []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var verbs []string
	for _, verb := range needed {
		review, err := c.cfg.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
				Verb: verb, Group: gr.Group, Resource: gr.Resource, Namespace: namespace,
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

// condition says what is missing and gives the rules to add, or the command that adds them.
func (p permissions) condition() metav1.Condition {
	var lacks, rules, parts []string
	for _, m := range p.missing {
		lacks = append(lacks, strings.Join(m.verbs, ", ")+" "+m.resource.String())
		rules = append(rules, fmt.Sprintf(`- {apiGroups: [%q], resources: [%q], verbs: ["%s"]}`,
			m.resource.Group, m.resource.Resource, strings.Join(neededVerbs, `", "`)))
	}
	if len(p.leases) > 0 {
		const role = "clusterring-sharder-leases"
		parts = append(parts, fmt.Sprintf(
			"The sharder is not allowed to %[1]s Leases in the namespace %[2]s, so the slots of a shard that is gone may stay with it. Run: kubectl create role %[3]s -n %[2]s --verb=%[4]s --resource=%[5]s && kubectl create rolebinding %[3]s -n %[2]s --role=%[3]s --user=%[6]s",
			strings.Join(p.leases, ", "), p.namespace, role, strings.Join(leaseVerbs, ","), leases, p.user))
	}
	if len(lacks) > 0 {
		role := "bound to " + p.user
		if !p.embedded {
			role = "bound to the sharder, such as one with the label " + aggregateLabel
		}
		parts = append(parts, fmt.Sprintf(
			"The sharder is not allowed to %s, so it does not label these objects. Add to the rules of a ClusterRole that is %s: %s",
			strings.Join(lacks, "; "), role, strings.Join(rules, " ")))
	}
	if len(parts) > 0 {
		return metav1.Condition{Type: PermissionsGranted, Status: metav1.ConditionFalse, Reason: "MissingPermission", Message: strings.Join(parts, " ")}
	}
	return metav1.Condition{Type: PermissionsGranted, Status: metav1.ConditionTrue, Reason: "Granted",
		Message: "The sharder may get, list, watch and patch the resources of the ring, and get, patch and delete the Leases of its shards."}
}
