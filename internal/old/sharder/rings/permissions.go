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

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
)

// neededVerbs are what the sharder must be allowed to do with sharded resources.
var neededVerbs = []string{"list", "watch", "patch"}

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

// permissionsFor returns the permissions for the ring's resources, asked for anew when it is time or the resources are
// others.
func (c *Controller) permissionsFor(ctx context.Context, r *snapshot.Ring) (permissions, error) {
	of := resolved(r)
	now := c.cfg.Clock.Now()
	c.mu.Lock()
	known, ok := c.permissions[r.Object.Name]
	c.mu.Unlock()
	if ok && now.Before(known.next) && slices.Equal(known.of, of) {
		return known, nil
	}
	p := permissions{of: of}
	for _, gr := range of {
		var verbs []string
		for _, verb := range neededVerbs {
			review, err := c.cfg.Kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
					Verb: verb, Group: gr.Group, Resource: gr.Resource,
				}},
			}, metav1.CreateOptions{})
			if err != nil {
				return permissions{}, fmt.Errorf("check the permission to %s %s: %w", verb, gr, err)
			}
			if !review.Status.Allowed {
				verbs = append(verbs, verb)
			}
		}
		if len(verbs) > 0 {
			p.missing = append(p.missing, missing{resource: gr, verbs: verbs})
		}
	}
	again := c.cfg.PermissionInterval
	if len(p.missing) > 0 {
		again = c.cfg.RetryInterval
	}
	p.next = now.Add(wait.Jitter(again, 0.2))
	c.mu.Lock()
	c.permissions[r.Object.Name] = p
	c.mu.Unlock()
	return p, nil
}

func (c *Controller) forget(ring string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.permissions, ring)
}

// resolved returns all resources of the ring that the API server serves.
func resolved(r *snapshot.Ring) []schema.GroupResource {
	var out []schema.GroupResource
	add := func(gr schema.GroupResource) {
		if !slices.Contains(out, gr) {
			out = append(out, gr)
		}
	}
	for _, m := range r.Main {
		add(m.GroupResource())
		for _, c := range m.Controlled {
			add(c.GroupResource())
		}
	}
	return out
}

// message says what is missing and gives the rules to add.
func (p permissions) message() string {
	var lacks, rules []string
	for _, m := range p.missing {
		lacks = append(lacks, strings.Join(m.verbs, ", ")+" "+m.resource.String())
		rules = append(rules, fmt.Sprintf(`- {apiGroups: [%q], resources: [%q], verbs: ["list", "watch", "patch"]}`, m.resource.Group, m.resource.Resource))
	}
	return fmt.Sprintf("The sharder is not allowed to %s. Add to the rules of a ClusterRole that is bound to the sharder, such as one with the label %s: %s",
		strings.Join(lacks, "; "), aggregateLabel, strings.Join(rules, " "))
}

// aggregateLabel is what the ClusterRole of the installation manifests collects rules by.
const aggregateLabel = `sharding.clusterring.dev/aggregate-to-sharder: "true"`
