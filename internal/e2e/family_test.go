package e2e

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
)

// children is the resource of the objects that a shard creates for ConfigMaps if it is told to.
var children = v1alpha1.GroupResource{Resource: "secrets"}

// checkFamilies checks that every object has its child, and that it is in the same slot (G4).
func (s *system) checkFamilies() {
	s.Helper()
	label := wire.SlotLabel(s.ring)
	testenv.Poll(s.T, settleTimeout, func(ctx context.Context) error {
		objects, err := s.list(ctx)
		if err != nil {
			return err
		}
		secrets, err := s.kube.CoreV1().Secrets(s.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		child := map[types.UID]corev1.Secret{}
		for _, secret := range secrets.Items {
			if owner := metav1.GetControllerOf(&secret); owner != nil {
				child[owner.UID] = secret
			}
		}
		for _, object := range objects {
			secret, ok := child[object.UID]
			switch slot := object.Labels[label]; {
			case !ok:
				return fmt.Errorf("%s has no child", object.Name)
			case secret.Labels[label] != slot:
				return fmt.Errorf("%s is in slot %q, and its child in %q", object.Name, slot, secret.Labels[label])
			}
		}
		if len(objects) == 0 {
			return errors.New("there are no objects")
		}
		return nil
	})
}
