package sim

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	shardingclient "github.com/clusterring/clusterring/generated/clientset/versioned/typed/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	ringName         = "ring"
	namespace        = "objects"
	movable          = "movable" // a namespace with objects that belongs to the ring at times
	shardNamespace   = "shards"
	sharderNamespace = "clusterring-system"
	insideLabel      = "inside"
	rebalanceDelay   = 2 * time.Second
)

func (w *World) rings() shardingclient.ClusterRingInterface {
	return versioned.NewForConfigOrDie(w.server.Config()).ShardingV1alpha1().ClusterRings()
}

func (w *World) makeRing() error {
	_, err := w.rings().Create(w.ctx, &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: ringName},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{
				GroupResource:       v1alpha1.GroupResource{Resource: mains.Resource},
				ControlledResources: []v1alpha1.GroupResource{{Resource: children.Resource}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{insideLabel: "true"}},
			Shards: v1alpha1.ShardsSpec{
				Namespace: shardNamespace, MaxLeaseDuration: &metav1.Duration{Duration: leaseDuration},
			},
			RebalanceDelay: &metav1.Duration{Duration: rebalanceDelay},
		},
	}, metav1.CreateOptions{})
	return err
}

// neighbour is the name of a second ring, and of its namespace, and neighbours is its resource.
const neighbour = "neighbour"

var neighbours = appsv1.SchemeGroupVersion.WithResource("deployments")

// makeNeighbour makes a second ring with one shard, which renews its Lease and does nothing else.
func (w *World) makeNeighbour() error {
	_, err := w.rings().Create(w.ctx, &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: neighbour},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{GroupResource: v1alpha1.GroupResource{Group: neighbours.Group, Resource: neighbours.Resource}}},
			Shards:    v1alpha1.ShardsSpec{Namespace: neighbour},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	leases := w.user.CoordinationV1().Leases(neighbour)
	lease := ghost("neighbour-a")
	lease.Labels[wire.LabelRing] = neighbour
	if lease, err = leases.Create(w.ctx, lease, metav1.CreateOptions{}); err != nil {
		return err
	}
	w.start(func() error {
		for sleep(w.ctx, time.Second) == nil {
			patch := fmt.Appendf(nil, `{"spec":{"renewTime":%q}}`, time.Now().UTC().Format(metav1.RFC3339Micro))
			if _, err := leases.Patch(w.ctx, lease.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil && w.ctx.Err() == nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
		return nil
	})
	return nil
}

// editRing changes how new objects come to their label, and how the ring says the same otherwise.
func (w *World) editRing() error {
	ring, err := w.rings().Get(w.ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	ring.Spec.NamespaceSelector.MatchExpressions = append(ring.Spec.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{
		Key: fmt.Sprintf("edit-%d", ring.Generation), Operator: metav1.LabelSelectorOpDoesNotExist,
	})
	if ring.Spec.Admission = v1alpha1.AdmissionNone; ring.Generation%2 == 0 {
		ring.Spec.Admission = v1alpha1.AdmissionWebhook
	}
	_, err = w.rings().Update(w.ctx, ring, metav1.UpdateOptions{})
	return err
}

// moveNamespace has the movable namespace belong to the ring, or not.
func (w *World) moveNamespace(inside bool) error {
	patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"%t"}}}`, insideLabel, inside)
	_, err := w.user.CoreV1().Namespaces().Patch(w.ctx, movable, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// join makes a shard of the name, if there is none.
func (w *World) join(name string) {
	w.mu.Lock()
	w.members[name] = true
	w.mu.Unlock()
	if k, ok := w.keepers[name]; ok {
		k.keepDown(false)
		return
	}
	w.keep(name, w.startShard)
}

// startTwin starts a second process of a shard's name, as happens when the first is cut off from whoever is to end it. It has to
// wait for the Lease. There are never three.
func (w *World) startTwin(name string) {
	if _, ok := w.keepers[twinOf(name)]; ok {
		return
	}
	w.twins++
	first := 1000 * w.twins // No two processes have the same number.
	w.keep(twinOf(name), func(_ string, number int, c Conditions) (*instance, error) {
		return w.startShard(name, first+number, c)
	})
}

// endTwin ends the second process, which gives the Lease back if it holds it.
func (w *World) endTwin(name string) {
	if k, ok := w.keepers[twinOf(name)]; ok {
		k.keepDown(true)
		k.stop()
		delete(w.keepers, twinOf(name))
	}
}

func twinOf(name string) string { return name + "'s twin" }

// leave has the shard cease to be one, unless it is the last.
func (w *World) leave(name string, crash bool) {
	k, ok := w.keepers[name]
	if !ok || !w.members[name] || len(w.members) == 1 {
		return
	}
	w.mu.Lock()
	delete(w.members, name)
	w.left[name] = w.ledger.slotsOf(name)
	w.mu.Unlock()
	w.start(func() error {
		// It may get more until it has ended, or its Lease has run out and a sharder that leads has noticed.
		_ = sleep(w.ctx, 3*leaseDuration)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.left[name] = w.ledger.slotsOf(name)
		return nil
	})
	k.keepDown(true)
	if crash {
		k.crash()
	} else {
		k.stop()
	}
}

func configMap(n int, want string, padding int) *corev1.ConfigMap {
	config := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: objectName(n), Annotations: map[string]string{note: "own"}},
		Data:       map[string]string{wanted: want, note: "own"},
	}
	if n%3 > 0 { // others have no labels of their own
		config.Labels = map[string]string{note: "own"}
	}
	if padding > 0 {
		config.Annotations["padding"] = strings.Repeat("x", padding)
	}
	return config
}
