package rings

import (
	"context"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
)

// DefaultNamespace is the namespace that the manifests install the sharder in.
const DefaultNamespace = "clusterring-system"

// Installation returns the namespace and the name of the Lease of the sharder that works in the cluster, or empty strings if
// none has ever led. The leader writes them into a webhook configuration without webhooks.
func Installation(ctx context.Context, c *cli.Clients) (namespace, name string, err error) {
	config, err := c.Kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "clusterring", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	namespace, name, _ = strings.Cut(config.Annotations[sharding.GroupName+"/installation"], "/")
	return namespace, name, nil
}
