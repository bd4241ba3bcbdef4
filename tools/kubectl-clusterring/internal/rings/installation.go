package rings

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/apis/sharding"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
)

// SharderNamespace returns the namespace of the installed sharder: the one that its leader has written down, or, if none has
// ever led or the caller may not see it, the one that the manifests install it in.
func SharderNamespace(ctx context.Context, c *cli.Clients) (string, error) {
	config, err := c.Kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, "clusterring", metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) {
		return "", fmt.Errorf("find the sharder: %w", err)
	}
	namespace := ""
	if err == nil {
		namespace, _, _ = strings.Cut(config.Annotations[sharding.GroupName+"/installation"], "/")
	}
	return cmp.Or(namespace, "clusterring-system"), nil
}
