package handover

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	clientgoinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/shard/informers"
	"github.com/clusterring/clusterring/internal/testenv"
)

// env is a namespace on the API server.
type env struct {
	testing.TB
	client    kubernetes.Interface
	namespace string
}

func newEnv(t testing.TB) *env {
	testenv.Require(t, cluster)
	client, err := kubernetes.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	return &env{TB: t, client: client, namespace: cluster.Namespace(t)}
}

func (e *env) create(obj *corev1.ConfigMap) *corev1.ConfigMap {
	e.Helper()
	obj.Namespace, obj.ResourceVersion, obj.UID = e.namespace, "", ""
	obj, err := e.client.CoreV1().ConfigMaps(e.namespace).Create(e.Context(), obj, metav1.CreateOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return obj
}

func (e *env) get(name string) *corev1.ConfigMap {
	e.Helper()
	obj, err := e.client.CoreV1().ConfigMaps(e.namespace).Get(e.Context(), name, metav1.GetOptions{})
	if err != nil {
		e.Fatal(err)
	}
	return obj
}

func (e *env) relabel(name string, change func(map[string]string)) {
	e.Helper()
	for {
		obj := e.get(name)
		if obj.Labels == nil {
			obj.Labels = map[string]string{}
		}
		change(obj.Labels)
		_, err := e.client.CoreV1().ConfigMaps(e.namespace).Update(e.Context(), obj, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) {
			continue
		}
		if err != nil {
			e.Fatal(err)
		}
		return
	}
}

func (e *env) patch() PatchFunc { return Patch(e.client.CoreV1().ConfigMaps(e.namespace).Patch) }

// What protects the labels of another shard is the API server's check of the resourceVersion.
func TestHandOverOnTheAPIServer(t *testing.T) {
	e := newEnv(t)
	dynamicClient, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	metadataClient, err := metadata.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
	for client, patch := range map[string]PatchFunc{
		"typed":    e.patch(),
		"dynamic":  Patch(dynamicClient.Resource(gvr).Namespace(e.namespace).Patch),
		"metadata": Patch(metadataClient.Resource(gvr).Namespace(e.namespace).Patch),
	} {
		for name, tc := range map[string]struct {
			meanwhile func(t *testing.T, cached *corev1.ConfigMap)
			want      map[string]string
		}{
			"asked for": {
				meanwhile: func(*testing.T, *corev1.ConfigMap) {},
				want:      map[string]string{"other": "label"},
			},
			"handed over before, and assigned": {
				meanwhile: func(t *testing.T, cached *corev1.ConfigMap) {
					e.relabel(cached.Name, func(l map[string]string) { l[shardLabel] = "b"; delete(l, drainLabel) })
				},
				want: map[string]string{"other": "label", shardLabel: "b"},
			},
			"handed over before, and asked for at its new shard": {
				meanwhile: func(t *testing.T, cached *corev1.ConfigMap) {
					e.relabel(cached.Name, func(l map[string]string) { l[shardLabel] = "b" })
				},
				want: map[string]string{"other": "label", shardLabel: "b", drainLabel: ""},
			},
			"request withdrawn": {
				meanwhile: func(t *testing.T, cached *corev1.ConfigMap) {
					e.relabel(cached.Name, func(l map[string]string) { delete(l, drainLabel) })
				},
				want: map[string]string{"other": "label", shardLabel: "a"},
			},
			"deleted and created again": {
				meanwhile: func(t *testing.T, cached *corev1.ConfigMap) {
					if err := e.client.CoreV1().ConfigMaps(e.namespace).Delete(t.Context(), cached.Name, metav1.DeleteOptions{}); err != nil {
						t.Fatal(err)
					}
					e.create(object(cached.Name, "", shardLabel+"=b", drainLabel))
				},
				want: map[string]string{shardLabel: "b", drainLabel: ""},
			},
		} {
			t.Run(client+"/"+name, func(t *testing.T) {
				cached := e.create(object(testenv.Name(t), "", shardLabel+"=a", drainLabel, "other=label"))
				tc.meanwhile(t, cached)
				handled, err := newHandover(t, true).HandOver(t.Context(), cached, patch)
				if !handled || err != nil {
					t.Errorf("handled %v, error %v", handled, err)
				}
				if diff := cmp.Diff(tc.want, e.get(cached.Name).Labels); diff != "" {
					t.Errorf("labels (-want +got):\n%s", diff)
				}
			})
		}
		t.Run(client+"/gone", func(t *testing.T) {
			cached := object("gone", "1", shardLabel+"=a", drainLabel)
			if handled, err := newHandover(t, true).HandOver(t.Context(), cached, patch); !handled || err != nil {
				t.Errorf("handled %v, error %v", handled, err)
			}
		})
	}
}

// family starts informers of shard "a" and a Handover that knows ConfigMaps as both main and controlled resource.
func (e *env) family(ctx context.Context) (*Handover, cache.SharedIndexInformer) {
	e.Helper()
	h := newHandover(e, true)
	factory := clientgoinformers.NewSharedInformerFactoryWithOptions(e.client, 0,
		clientgoinformers.WithNamespace(e.namespace),
		clientgoinformers.WithTweakListOptions(informers.TweakListOptions("r", "a")))
	informer := factory.Core().V1().ConfigMaps().Informer()
	err := h.Controls(Controlled{
		Informer: informer, Owners: []cache.SharedIndexInformer{informer},
		Patch: func(namespace string) PatchFunc { return Patch(e.client.CoreV1().ConfigMaps(namespace).Patch) },
	})
	if err != nil {
		e.Fatal(err)
	}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done)
		if err := h.Run(ctx); err != nil {
			e.Error(err)
		}
	}()
	factory.Start(ctx.Done())
	e.Cleanup(func() {
		cancel()
		<-done
		factory.Shutdown()
	})
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		e.Fatal("informer not synced")
	}
	return h, informer
}

func (e *env) wantLabels(want map[string]map[string]string) {
	e.Helper()
	testenv.Poll(e, 10*time.Second, func(ctx context.Context) error {
		list, err := e.client.CoreV1().ConfigMaps(e.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		got := map[string]map[string]string{}
		for _, obj := range list.Items {
			if _, ok := want[obj.Name]; ok {
				got[obj.Name] = obj.Labels
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("labels (-want +got):\n%s", diff)
		}
		return nil
	})
}

func TestFamilyIsHandedOverWithItsOwner(t *testing.T) {
	e := newEnv(t)
	h, informer := e.family(t.Context())
	owner := e.create(object("owner", "", shardLabel+"=a", drainLabel))
	for i := range 5 {
		e.create(controlledBy(object(fmt.Sprintf("child-%d", i), "", shardLabel+"=a"), owner))
	}
	testenv.Poll(t, 10*time.Second, func(context.Context) error {
		if n := len(informer.GetStore().ListKeys()); n != 6 {
			return fmt.Errorf("%d objects in the cache", n)
		}
		return nil
	})
	// A status controller is busy with one of them, so the cache is a little behind.
	e.relabel("child-3", func(l map[string]string) { l["busy"] = "" })
	if handled, err := h.HandOver(t.Context(), owner, e.patch()); !handled || err != nil {
		t.Errorf("handled %v, error %v", handled, err)
	}
	want := map[string]map[string]string{"owner": nil}
	for i := range 5 {
		want[fmt.Sprintf("child-%d", i)] = nil
	}
	want["child-3"] = map[string]string{"busy": ""}
	e.wantLabels(want)
}

func TestStraysAreHandedOver(t *testing.T) {
	e := newEnv(t)
	elsewhere := e.create(object("elsewhere", "", shardLabel+"=b"))
	here := e.create(object("here", "", shardLabel+"=a"))
	reborn := e.create(object("reborn", "", shardLabel+"=a"))
	formerly := reborn.DeepCopy()
	formerly.UID = "of the one before"
	// These are there when the shard starts …
	e.create(controlledBy(object("stray", "", shardLabel+"=a", drainLabel), elsewhere))
	e.create(controlledBy(object("at-home", "", shardLabel+"=a"), elsewhere))
	e.family(t.Context())
	// … and these come later.
	e.create(controlledBy(object("late", "", shardLabel+"=a"), elsewhere))
	e.create(controlledBy(object("waiting", "", shardLabel+"=a", drainLabel), here))
	e.create(controlledBy(object("orphan", "", shardLabel+"=a", drainLabel), formerly))
	e.relabel("late", func(l map[string]string) { l[drainLabel] = "" })
	e.wantLabels(map[string]map[string]string{"stray": nil, "late": nil, "orphan": nil})
	e.wantLabels(map[string]map[string]string{
		"at-home": {shardLabel: "a"},
		"waiting": {shardLabel: "a", drainLabel: ""}, // for its owner, which is here
		"here":    {shardLabel: "a"},
	})
	// The owner leaves, by its own controller.
	e.relabel("here", func(l map[string]string) { delete(l, shardLabel) })
	e.wantLabels(map[string]map[string]string{"waiting": nil})
}
