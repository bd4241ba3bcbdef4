package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	clientgoinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// Informers of all kinds show the shard's objects only, also when these come and go, beside one that shows everything.
func TestInformers(t *testing.T) {
	e := newEnv(t)
	s := e.shard("a")
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	dynamicClient, err := dynamic.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	metadataClient, err := metadata.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factories := s.Informers(0)
	factories.Namespace = e.namespace
	mixed := factories
	mixed.Tweak = func(o *metav1.ListOptions) { o.LabelSelector = "wanted"; s.TweakListOptions(o) }
	typed := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0,
		clientgoinformers.WithNamespace(e.namespace), clientgoinformers.WithTweakListOptions(s.TweakListOptions))
	all := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0, clientgoinformers.WithNamespace(e.namespace))
	kubernetesFactory, dynamicFactory, metadataFactory := factories.Kubernetes(client), factories.Dynamic(dynamicClient), factories.Metadata(metadataClient)
	mixedFactory := mixed.Kubernetes(client)
	gvr := corev1.SchemeGroupVersion.WithResource("configmaps")
	sharded := map[string]cache.SharedIndexInformer{
		"typed":      typed.Core().V1().ConfigMaps().Informer(),
		"kubernetes": kubernetesFactory.Core().V1().ConfigMaps().Informer(),
		"dynamic":    dynamicFactory.ForResource(gvr).Informer(),
		"metadata":   metadataFactory.ForResource(gvr).Informer(),
	}
	everything := map[string]cache.SharedIndexInformer{"unsharded": all.Core().V1().ConfigMaps().Informer()}
	wanted := map[string]cache.SharedIndexInformer{"with a selector": mixedFactory.Core().V1().ConfigMaps().Informer()}
	show := func(informers map[string]cache.SharedIndexInformer, want ...string) {
		t.Helper()
		for name, informer := range informers {
			testenv.Poll(t, timeout, func(context.Context) error {
				var got []string
				for _, key := range informer.GetStore().ListKeys() {
					_, obj, _ := cache.SplitMetaNamespaceKey(key)
					got = append(got, obj)
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					return fmt.Errorf("%s (-want +got):\n%s", name, diff)
				}
				return nil
			})
		}
	}

	e.configMap("mine", e.assigned("a"))
	e.configMap("theirs", e.assigned("b"))
	e.configMap("nobodys", nil)
	both := e.assigned("a")
	both["wanted"] = ""
	e.configMap("wanted", both)
	stop, result := e.run(s, func(ctx context.Context) error {
		for _, f := range []interface{ Start(<-chan struct{}) }{typed, all, kubernetesFactory, dynamicFactory, metadataFactory, mixedFactory} {
			f.Start(ctx.Done())
		}
		return nil
	})
	defer func() {
		for _, f := range []interface{ Shutdown() }{typed, all, kubernetesFactory, dynamicFactory, metadataFactory, mixedFactory} {
			f.Shutdown()
		}
	}()
	show(sharded, "mine", "wanted")
	show(everything, "mine", "nobodys", "theirs", "wanted")
	show(wanted, "wanted")
	e.relabel("nobodys", e.assigned("a"))
	e.relabel("mine", e.assigned("b"))
	show(sharded, "nobodys", "wanted")
	show(everything, "mine", "nobodys", "theirs", "wanted")
	stop()
	if err := e.wait(result); err != nil {
		t.Error(err)
	}
}

// Caches that were filled before the Lease was held can be wrong for a moment, which nobody would notice. So it is noticed.
func TestInformersStartedTooEarly(t *testing.T) {
	e := newEnv(t)
	s := e.shard("a")
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factory := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0,
		clientgoinformers.WithNamespace(e.namespace), clientgoinformers.WithTweakListOptions(s.TweakListOptions))
	informer := factory.Core().V1().ConfigMaps().Informer()
	stop := make(chan struct{})
	factory.Start(stop)
	defer factory.Shutdown()
	defer close(stop)
	cache.WaitForCacheSync(stop, informer.HasSynced)
	ran := false
	err = s.Run(t.Context(), func(context.Context) error { ran = true; return nil })
	if !errors.Is(err, ErrTooEarly) || ran {
		t.Errorf("ran %v, error %v", ran, err)
	}
	if handled, err := s.HandOver(t.Context(), e.configMap("x", e.assigned("a")), nil); !handled || !errors.Is(err, ErrTooEarly) {
		t.Errorf("handled %v, error %v", handled, err)
	}
}

// An object goes from one shard to the other, with what it controls, while both run.
func TestHandOverBetweenShards(t *testing.T) {
	e := newEnv(t)
	drained := e.assigned("a")
	drained[v1alpha1.DrainLabel(e.ring)] = ""
	owner := e.configMap("owner", e.assigned("a"))
	s := e.shard("a")
	client, err := kubernetes.NewForConfig(s.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	factory := clientgoinformers.NewSharedInformerFactoryWithOptions(client, 0,
		clientgoinformers.WithNamespace(e.namespace), clientgoinformers.WithTweakListOptions(s.TweakListOptions))
	configMaps, secrets := factory.Core().V1().ConfigMaps(), factory.Core().V1().Secrets()
	err = s.Controls(Controlled{
		Informer: secrets.Informer(), Owners: []cache.SharedIndexInformer{configMaps.Informer()},
		Patch: func(namespace string) PatchFunc { return Patch(client.CoreV1().Secrets(namespace).Patch) },
	})
	if err != nil {
		t.Fatal(err)
	}
	handle := make(chan *corev1.ConfigMap, 10)
	_, err = configMaps.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { handle <- obj.(*corev1.ConfigMap) },
		UpdateFunc: func(_, obj any) { handle <- obj.(*corev1.ConfigMap) },
	})
	if err != nil {
		t.Fatal(err)
	}
	stop, result := e.run(s, func(ctx context.Context) error {
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		return nil
	})
	defer factory.Shutdown()
	sync := func(obj *corev1.ConfigMap) bool {
		t.Helper()
		handled, err := s.HandOver(t.Context(), obj, Patch(client.CoreV1().ConfigMaps(e.namespace).Patch))
		if err != nil {
			t.Error(err)
		}
		return handled
	}

	obj := <-handle
	if sync(obj) {
		t.Error("handed over without having been asked")
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "child", OwnerReferences: []metav1.OwnerReference{
		*metav1.NewControllerRef(owner, corev1.SchemeGroupVersion.WithKind("ConfigMap")),
	}}}
	s.LabelChild(secret, obj)
	if _, err := client.CoreV1().Secrets(e.namespace).Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, timeout, func(context.Context) error {
		_, err := secrets.Lister().Secrets(e.namespace).Get("child")
		return err
	})
	e.relabel("owner", drained)
	obj = <-handle
	if !sync(obj) {
		t.Error("not handed over")
	}
	child, err := e.client.CoreV1().Secrets(e.namespace).Get(t.Context(), "child", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	parent, err := e.client.CoreV1().ConfigMaps(e.namespace).Get(t.Context(), "owner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(child.Labels) > 0 || len(parent.Labels) > 0 {
		t.Errorf("labels of the child: %v, of the owner: %v", child.Labels, parent.Labels)
	}
	e.relabel("owner", e.assigned("b"))
	if !sync(obj) { // the stale object once more
		t.Error("worked on what is another shard's")
	}
	parent, err = e.client.CoreV1().ConfigMaps(e.namespace).Get(t.Context(), "owner", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(e.assigned("b"), parent.Labels); diff != "" {
		t.Errorf("labels of the other shard (-want +got):\n%s", diff)
	}
	stop()
	if err := e.wait(result); err != nil {
		t.Error(err)
	}
}
