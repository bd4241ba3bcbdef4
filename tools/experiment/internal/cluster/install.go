package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/examples/webhosting/generated/clientset/versioned"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/manifests"
)

// deleteTimeout is how long a namespace with thousands of objects may take to go.
const deleteTimeout = 5 * time.Minute

// Ring is the name of the operator's ClusterRing.
const Ring = "webhosting"

// sharderName is the name of the sharder's ServiceAccount, and of the Lease of its leader.
const sharderName = "sharder"

// fieldManager is who applies what an experiment needs.
const fieldManager = "experiment"

// Installed says who the programs are that use the control plane.
type Installed struct {
	// Sharder and Operator are their service accounts.
	Sharder, Operator types.NamespacedName
	// Themes are the names of the Themes that Websites can have.
	Themes []string
}

// maxLeaseDuration is the longest Lease that an instance may have.
const maxLeaseDuration = "15s"

// themes are what Websites look like.
var themes = map[string]v1alpha1.ThemeSpec{
	"experiment-blue":  {Color: "darkblue", FontFamily: "Helvetica, sans-serif"},
	"experiment-green": {Color: "darkgreen", FontFamily: "Georgia, serif"},
	"experiment-red":   {Color: "darkred", FontFamily: "Courier New, monospace"},
	"experiment-grey":  {Color: "dimgrey", FontFamily: "Verdana, sans-serif"},
	"experiment-teal":  {Color: "teal", FontFamily: "Times, serif"},
}

// Install applies the manifests of the sharder and of the operator that are in the repository, except for what would run them
// in the cluster, and makes some Themes. Without sharder, neither the sharder nor the ClusterRing are installed; with it, a
// rebalanceDelay other than 0 replaces the ring's. Nothing is changed in an existing control plane where others run.
func (c *Cluster) Install(ctx context.Context, repo string, sharder bool, rebalanceDelay time.Duration) (*Installed, error) {
	leftOut := []string{"Deployment", "Service", "PodDisruptionBudget", "Kustomization", "Website", "Theme"}
	paths := []string{filepath.Join(repo, "examples", "webhosting", "config")}
	if sharder {
		paths = append([]string{filepath.Join(repo, "config", "namespace.yaml"), filepath.Join(repo, "config", "crd"), filepath.Join(repo, "config", "rbac")}, paths...)
	} else {
		leftOut = append(leftOut, "ClusterRing")
	}
	objects, err := manifests.Read(func(kind string) bool { return !slices.Contains(leftOut, kind) }, paths...)
	if err != nil {
		return nil, err
	}
	// Files are in the order of their names, which is not that in which they can be applied.
	order := []string{"CustomResourceDefinition", "Namespace", "ServiceAccount"}
	slices.SortStableFunc(objects, func(a, b *unstructured.Unstructured) int {
		return rank(order, a.GetKind()) - rank(order, b.GetKind())
	})
	installed := &Installed{}
	for _, o := range objects {
		if o.GetKind() != "ServiceAccount" {
			continue
		}
		name := types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
		if o.GetName() == sharderName {
			installed.Sharder = name
		} else {
			installed.Operator = name
		}
	}
	if installed.Operator.Name == "" {
		return nil, errors.New("the operator's manifests have no ServiceAccount")
	}
	if !c.Own() {
		if err := c.alone(ctx, installed); err != nil {
			return nil, err
		}
		if c.added, err = manifests.Missing(ctx, c.Config(), objects); err != nil {
			return nil, err
		}
	}
	for _, o := range objects {
		if o.GetKind() != "ClusterRing" {
			continue
		}
		// A sharder that has just started waits for so long before it gives out the slots of a new ring.
		if err := unstructured.SetNestedField(o.Object, maxLeaseDuration, "spec", "shards", "maxLeaseDuration"); err != nil {
			return nil, err
		}
		if rebalanceDelay == 0 {
			continue
		}
		if err := unstructured.SetNestedField(o.Object, rebalanceDelay.String(), "spec", "rebalanceDelay"); err != nil {
			return nil, err
		}
	}
	if err := manifests.Apply(ctx, c.Config(), fieldManager, objects); err != nil {
		return nil, err
	}
	if err := c.themes(ctx, installed); err != nil {
		return nil, err
	}
	return installed, c.RestartControllerManager(ctx)
}

func rank(order []string, kind string) int {
	if i := slices.Index(order, kind); i >= 0 {
		return i
	}
	return len(order)
}

func (c *Cluster) themes(ctx context.Context, installed *Installed) error {
	client, err := versioned.NewForConfig(c.config)
	if err != nil {
		return err
	}
	for name, spec := range themes {
		theme := &v1alpha1.Theme{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		_, err := client.WebhostingV1alpha1().Themes().Create(ctx, theme, metav1.CreateOptions{})
		switch {
		case err == nil:
			c.made = append(c.made, name)
		case !apierrors.IsAlreadyExists(err):
			return fmt.Errorf("create Theme %s: %w", name, err)
		}
		installed.Themes = append(installed.Themes, name)
	}
	slices.Sort(installed.Themes)
	return nil
}

// CreateNamespace makes a namespace for the Websites of a run, and waits until one could be created in it: for two seconds
// after a CustomResourceDefinition was established, the API server has whoever creates such an object wait.
func (c *Cluster) CreateNamespace(ctx context.Context, name string, theme string) error {
	kube, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := kube.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	web, err := versioned.NewForConfig(c.config)
	if err != nil {
		return err
	}
	rehearsal := &v1alpha1.Website{ObjectMeta: metav1.ObjectMeta{Name: "rehearsal"}, Spec: v1alpha1.WebsiteSpec{Theme: theme}}
	if _, err := web.WebhostingV1alpha1().Websites(name).Create(ctx, rehearsal, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
		return fmt.Errorf("create a Website that is not kept: %w", err)
	}
	return nil
}

// Uninstall deletes what was not there before, from an existing control plane: the namespace with the Websites of the run,
// Themes, and what Install applied. Instances must have ended.
func (c *Cluster) Uninstall(namespace string) error {
	ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
	defer cancel()
	web, err := versioned.NewForConfig(c.config)
	if err != nil {
		return err
	}
	errs := []error{c.deleteNamespace(ctx, namespace)}
	for _, name := range c.made {
		if err := web.WebhostingV1alpha1().Themes().Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			errs = append(errs, err)
		}
	}
	if slices.ContainsFunc(c.added, func(o *unstructured.Unstructured) bool { return o.GetKind() == "ClusterRing" }) {
		errs = append(errs, c.deleteWebhooks(ctx))
	}
	return errors.Join(append(errs, manifests.Delete(ctx, c.Config(), c.added))...)
}

// deleteWebhooks deletes the webhook configurations of ClusterRings, and that of the installation, which nothing owns. The
// garbage collector would delete the others, unless it finds that their owners have gone together with the kind.
func (c *Cluster) deleteWebhooks(ctx context.Context) error {
	kube, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	client := kube.AdmissionregistrationV1().MutatingWebhookConfigurations()
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list webhook configurations: %w", err)
	}
	var errs []error
	for i := range list.Items {
		if owner := metav1.GetControllerOf(&list.Items[i]); owner != nil && owner.Kind == "ClusterRing" && owner.Name == Ring {
			errs = append(errs, client.Delete(ctx, list.Items[i].Name, metav1.DeleteOptions{}))
		}
	}
	if err := client.Delete(ctx, installation, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// installation is the webhook configuration by which sharders of two installations notice each other.
const installation = "clusterring"

// deleteNamespace deletes a namespace and waits until it is gone, and with it all that was in it.
func (c *Cluster) deleteNamespace(ctx context.Context, name string) error {
	kube, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return err
	}
	for {
		err := kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err != nil && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete namespace %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("delete namespace %s: %w", name, ctx.Err())
		case <-time.After(time.Second):
		}
	}
}
