package website

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

const (
	// The reasons of events.
	reasonReady         = "Ready"
	reasonThemeNotFound = "ThemeNotFound"
	reasonNameTaken     = "NameTaken"

	// websiteResource is what written calls Websites.
	websiteResource = "Website"

	// notYetDelay is how long to wait for an object that exists and is not to be seen, in case that no event comes.
	notYetDelay = time.Second
	// nameTakenDelay is how often to look whether somebody else's object has gone, of which no event tells.
	nameTakenDelay = 30 * time.Second
)

// sync brings the objects and the status of a Website in line.
func (c *Controller) sync(ctx context.Context, name cache.ObjectName) (requeueAfter time.Duration, err error) {
	website, err := c.websites.Websites(name.Namespace).Get(name.Name)
	if apierrors.IsNotFound(err) {
		c.written.forget(name)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ctx, done, ours := c.Owned.Begin(ctx, website)
	if !ours {
		return 0, nil
	}
	defer done()
	if wait, missing := c.written.missing(name, func(resource string) string { return c.cachedVersion(website, resource) }); missing {
		return wait, nil // an event comes before
	}
	end, err := c.Record.Begin(website)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	return c.work(ctx, website)
}

// work does what there is to do for a Website that is this process's to work on.
func (c *Controller) work(ctx context.Context, website *v1alpha1.Website) (requeueAfter time.Duration, err error) {
	if website.DeletionTimestamp != nil {
		return 0, c.updateStatus(ctx, website, v1alpha1.PhaseTerminating, nil)
	}
	theme, err := c.themes.Get(website.Spec.Theme)
	if apierrors.IsNotFound(err) {
		// When the Theme comes, its event brings the Website back.
		return 0, c.updateStatus(ctx, website, v1alpha1.PhaseError, func() {
			c.events.Eventf(website, corev1.EventTypeWarning, reasonThemeNotFound,
				"Theme %s does not exist: create it, or choose another in spec.theme", website.Spec.Theme)
		})
	}
	if err != nil {
		return 0, err
	}
	deployment, err := c.children.ensure(ctx, website, theme, func(child metav1.Object) {
		c.Shard.LabelChild(child, website)
	}, func(resource, version string) {
		c.written.note(cache.MetaObjectToName(website), resource, version)
	})
	switch {
	case errors.Is(err, errNotControlled):
		return nameTakenDelay, c.updateStatus(ctx, website, v1alpha1.PhaseError, func() {
			c.events.Eventf(website, corev1.EventTypeWarning, reasonNameTaken, "%v: delete it, or choose another name", err)
		})
	case errors.Is(err, errNotYet):
		return notYetDelay, nil
	case err != nil:
		return 0, err
	case isAvailable(deployment):
		return 0, c.updateStatus(ctx, website, v1alpha1.PhaseReady, func() {
			if website.Status.Phase != v1alpha1.PhaseReady {
				c.events.Eventf(website, corev1.EventTypeNormal, reasonReady, "The Website is served at %s", path(website))
			}
		})
	default:
		return 0, c.updateStatus(ctx, website, v1alpha1.PhasePending, nil)
	}
}

// cachedVersion returns the version in which the cache has an object of a Website, or the Website itself.
func (c *Controller) cachedVersion(website *v1alpha1.Website, resource string) string {
	if resource == websiteResource {
		return website.ResourceVersion
	}
	for _, child := range c.children.all() {
		if child.resource() == resource {
			return child.version(cache.MetaObjectToName(website))
		}
	}
	return ""
}

// updateStatus writes the status of the Website if it changes, and calls told afterwards, if that is not nil.
func (c *Controller) updateStatus(ctx context.Context, website *v1alpha1.Website, phase v1alpha1.Phase, told func()) error {
	status, changed := newStatus(website, phase, time.Now())
	if !changed {
		return nil
	}
	data, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": website.ResourceVersion},
		"status":   status,
	})
	if err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	updated, err := c.WebClient.WebhostingV1alpha1().Websites(website.Namespace).Patch(ctx, website.Name, types.MergePatchType, data,
		metav1.PatchOptions{FieldManager: Component}, "status")
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("update status: %w", err)
	}
	c.written.note(cache.MetaObjectToName(website), websiteResource, updated.ResourceVersion)
	if told != nil {
		told()
	}
	return nil
}

// newStatus returns the status of a Website in a phase, and whether it is another than it has.
func newStatus(website *v1alpha1.Website, phase v1alpha1.Phase, now time.Time) (status v1alpha1.WebsiteStatus, changed bool) {
	if website.Status.Phase == phase && website.Status.ObservedGeneration == website.Generation {
		return website.Status, false
	}
	transition := metav1.NewMicroTime(now)
	return v1alpha1.WebsiteStatus{ObservedGeneration: website.Generation, Phase: phase, LastTransitionTime: &transition}, true
}

// isAvailable tells whether the Deployment controller has seen the Deployment as it is and found it available.
func isAvailable(deployment *appsv1.Deployment) bool {
	if deployment.Status.ObservedGeneration < deployment.Generation {
		return false
	}
	for _, condition := range deployment.Status.Conditions {
		if condition.Type == appsv1.DeploymentAvailable {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}
