package stage

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	shardingv1alpha1client "github.com/clusterring/clusterring/generated/clientset/versioned/typed/sharding/v1alpha1"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// Namespace has the ConfigMaps and the shards of the examples that write checksums; Ring is their ClusterRing.
	Namespace = "checksums"
	Ring      = "checksums"

	annotation = "example.clusterring.dev/checksum"
)

// An Object is what a test wants to know of a ConfigMap.
type Object struct {
	Slot     int
	Labelled bool // its label says so
	UpToDate bool // its checksum is right
}

// Create creates n ConfigMaps with data that is awkward to write down.
func (s *Stage) Create(n int) {
	s.t.Helper()
	for i := range n {
		configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%02d", i)}}
		switch i % 4 {
		case 0: // no data at all
		case 1:
			configMap.Data = map[string]string{"b": "1", "a": `"quotes" and \ and | and <&>`}
		case 2:
			configMap.Data = map[string]string{"lines": "one\ntwo\tthree\x1ffour\n", "empty": ""}
			configMap.Annotations = map[string]string{"note": "a\nADDED\x1fc00\x1f1", annotation: "wrong"}
		case 3:
			configMap.Data = map[string]string{"text": "ü €\u2028$(exit 1) `exit 1` %s"}
		}
		if _, err := s.Client.CoreV1().ConfigMaps(Namespace).Create(s.t.Context(), configMap, metav1.CreateOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
}

// clearChecksums removes the ring, with its status, and the ConfigMaps for the next test.
func (s *Stage) clearChecksums() error {
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	rings, err := versioned.NewForConfig(s.cluster.Config())
	if err != nil {
		return err
	}
	err = rings.ShardingV1alpha1().ClusterRings().Delete(ctx, Ring, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	return s.Client.CoreV1().ConfigMaps(Namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
}

// Change changes the data of all ConfigMaps, so that no checksum is right any more.
func (s *Stage) Change() {
	s.t.Helper()
	objects, err := s.Objects(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	patch := fmt.Appendf(nil, `{"data":{"changed":%q}}`, time.Now())
	for name := range objects {
		_, err := s.Client.CoreV1().ConfigMaps(Namespace).Patch(s.t.Context(), name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// Objects returns all ConfigMaps of the ring, by name.
func (s *Stage) Objects(ctx context.Context) (map[string]Object, error) {
	list, err := s.Client.CoreV1().ConfigMaps(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	objects := map[string]Object{}
	for _, configMap := range list.Items {
		data, err := json.Marshal(configMap.Data)
		if err != nil {
			return nil, err
		}
		slot := ring.Slot(partition.Key(schema.GroupKind{Kind: "ConfigMap"}, configMap.Namespace, configMap.Name))
		label, ok := wire.Slot(configMap.Labels, Ring)
		objects[configMap.Name] = Object{
			Slot:     slot,
			Labelled: ok && label == slot,
			UpToDate: configMap.Annotations[annotation] == fmt.Sprintf("%x", sha256.Sum256(data)),
		}
	}
	return objects, nil
}

// AwaitShards returns when the sharder knows of that many shards that hold their Leases.
func (s *Stage) AwaitShards(n int32) {
	s.t.Helper()
	rings := s.rings()
	testenv.Poll(s.t, Timeout, func(ctx context.Context) error {
		ring, err := rings.Get(ctx, Ring, metav1.GetOptions{})
		if err == nil && ring.Status.AvailableShards != n {
			err = fmt.Errorf("%d shards are available instead of %d", ring.Status.AvailableShards, n)
		}
		return err
	})
}

// AwaitSettled returns the names of the objects of each shard, in order, when these shards have all slots and each has
// some objects, no slot is asked for, and all labels and checksums are right.
func (s *Stage) AwaitSettled(shards ...string) map[string][]string {
	s.t.Helper()
	rings := s.rings()
	var of map[string][]string
	testenv.Poll(s.t, Timeout, func(ctx context.Context) error {
		object, err := rings.Get(ctx, Ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		table, err := wire.ReadTable(object.Status.Table)
		if err == nil && table == nil {
			err = errors.New("there is no table")
		}
		if err != nil {
			return err
		}
		owners := map[int]string{}
		for _, row := range table.Rows {
			if !slices.Contains(shards, row.Name) || !row.Releasing.Empty() {
				return fmt.Errorf("shard %s has %d slots and releases %d", row.Name, row.Slots.Len(), row.Releasing.Len())
			}
			for slot := range row.Slots.All() {
				owners[slot] = row.Name
			}
		}
		objects, err := s.Objects(ctx)
		if err != nil {
			return err
		}
		of = map[string][]string{}
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			object := objects[name]
			owner := owners[object.Slot]
			if owner == "" || !object.Labelled || !object.UpToDate {
				return fmt.Errorf("%s of shard %q: %+v", name, owner, object)
			}
			of[owner] = append(of[owner], name)
		}
		if len(of) != len(shards) {
			return fmt.Errorf("only %d of %d shards have objects", len(of), len(shards))
		}
		return nil
	})
	return of
}

func (s *Stage) rings() shardingv1alpha1client.ClusterRingInterface {
	s.t.Helper()
	client, err := versioned.NewForConfig(s.cluster.Config())
	if err != nil {
		s.t.Fatal(err)
	}
	return client.ShardingV1alpha1().ClusterRings()
}
