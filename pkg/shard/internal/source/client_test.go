package source

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	foofake "github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned/fake"
	fooinformers "github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
	foov1 "github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

const testRing = "test"

func configMap(name string, slot int) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: name, Namespace: "default", Labels: map[string]string{wire.SlotLabel(testRing): fmt.Sprint(slot)},
	}}
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestFakes: the informer works with fake clientsets, whose objects have no versions and whose watches ignore selectors.
func TestFakes(t *testing.T) {
	objects := []runtime.Object{configMap("a", 1), configMap("b", 2), configMap("c", 3)}
	configMaps := corev1.SchemeGroupVersion.WithResource("configmaps")
	partial := func(o runtime.Object) runtime.Object {
		return &metav1.PartialObjectMetadata{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: o.(*corev1.ConfigMap).ObjectMeta,
		}
	}
	metadataScheme := metadatafake.NewTestScheme()
	if err := metav1.AddMetaToScheme(metadataScheme); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func() *Informer{
		"typed": func() *Informer {
			return New(fake.NewClientset(objects...).CoreV1().ConfigMaps("default"), Options{Ring: testRing})
		},
		"dynamic": func() *Informer {
			return New(dynamicfake.NewSimpleDynamicClient(scheme.Scheme, objects...).Resource(configMaps).Namespace("default"), Options{Ring: testRing})
		},
		"metadata": func() *Informer {
			c := metadatafake.NewSimpleMetadataClient(metadataScheme, partial(objects[0]), partial(objects[1]), partial(objects[2]))
			return New(c.Resource(configMaps).Namespace("default"), Options{Ring: testRing})
		},
	} {
		t.Run(name, func(t *testing.T) {
			i := make()
			ctx, cancel := context.WithCancel(within(t, time.Minute))
			done := run(ctx, i)
			for _, step := range []struct {
				slots ring.Slots
				want  []string
			}{
				{ring.SlotsOf(1, 2), []string{"default/a", "default/b"}},
				{ring.AllSlots(), []string{"default/a", "default/b", "default/c"}},
				{ring.SlotsOf(3), []string{"default/c"}},
				{ring.Slots{}, nil},
				{ring.SlotsOf(2), []string{"default/b"}},
			} {
				i.Set(step.slots)
				if err := i.Wait(ctx, step.slots); err != nil {
					t.Fatal(err)
				}
				eventually(t, i, step.want)
			}
			cancel()
			<-done
		})
	}
}

// TestFactories: generated factories take the informer for theirs.
func TestFactories(t *testing.T) {
	ctx, cancel := context.WithCancel(within(t, time.Minute))
	defer cancel()
	labels1 := map[string]string{wire.SlotLabel(testRing): "1"}
	deployment := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d", Namespace: "default", Labels: labels1}}
	foo := &foov1.Foo{ObjectMeta: metav1.ObjectMeta{Name: "f", Namespace: "default", Labels: labels1}}

	var stripped int
	kube := informers.NewSharedInformerFactoryWithOptions(fake.NewClientset(deployment), 0, informers.WithTransform(func(o any) (any, error) {
		o.(*appsv1.Deployment).Labels = nil
		stripped++
		return o, nil
	}))
	var deployments, foos *Informer
	kube.InformerFor(&appsv1.Deployment{}, func(c kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		deployments = New(c.AppsV1().Deployments("default"), Options{Ring: testRing, ResyncPeriod: resync})
		return deployments
	})
	sample := fooinformers.NewSharedInformerFactory(foofake.NewClientset(foo), 0)
	sample.InformerFor(&foov1.Foo{}, func(c versioned.Interface, resync time.Duration) cache.SharedIndexInformer {
		foos = New(c.SamplecontrollerV1alpha1().Foos("default"), Options{Ring: testRing, ResyncPeriod: resync})
		return foos
	})
	adds, deletes := make(chan string, 10), make(chan string, 10)
	_, err := sample.Samplecontroller().V1alpha1().Foos().TypedInformer().AddTypedEventHandler(cache.TypedResourceEventHandlerFuncs[*foov1.Foo]{
		AddFunc:    func(o *foov1.Foo) { adds <- o.Name },
		DeleteFunc: func(o cache.DeletedObject[*foov1.Foo]) { deletes <- "x" },
	})
	if err != nil {
		t.Fatal(err)
	}
	kube.StartWithContext(ctx)
	sample.StartWithContext(ctx)
	for _, i := range []*Informer{deployments, foos} {
		i.Set(ring.SlotsOf(1))
		if err := i.Wait(ctx, ring.SlotsOf(1)); err != nil {
			t.Fatal(err)
		}
	}
	kube.WaitForCacheSyncWithContext(ctx)
	got, err := kube.Apps().V1().Deployments().Lister().Deployments("default").List(labels.Everything())
	if err != nil || len(got) != 1 || got[0].Labels != nil {
		t.Errorf("deployments: %v, %v", got, err)
	}
	if f, err := sample.Samplecontroller().V1alpha1().Foos().Lister().Foos("default").Get("f"); err != nil || f.Name != "f" {
		t.Errorf("foo: %v, %v", f, err)
	}
	if name := <-adds; name != "f" {
		t.Errorf("handler: %q", name)
	}
	foos.Set(ring.Slots{})
	deployments.Set(ring.Slots{})
	eventually(t, foos, nil)
	eventually(t, deployments, nil)
	foos.Set(ring.SlotsOf(1))
	if err := foos.Wait(ctx, ring.SlotsOf(1)); err != nil {
		t.Fatal(err)
	}
	<-adds // after the delete would have come
	if len(deletes) > 0 {
		t.Error("a loss was a delete")
	}
	cancel()
	kube.Shutdown()
	sample.Shutdown()
	if stripped != 1 {
		t.Errorf("transform was called %d times", stripped)
	}
}

func run(ctx context.Context, i *Informer) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		i.RunWithContext(ctx)
	}()
	return done
}

func keys(i *Informer) []string {
	keys := i.GetStore().ListKeys()
	slices.Sort(keys)
	return keys
}

// eventually waits until the store has the objects with these keys.
func eventually(t *testing.T, i *Informer, want []string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !slices.Equal(keys(i), want); {
		if time.Now().After(end) {
			t.Fatal(cmp.Diff(want, keys(i)))
		}
		<-time.After(time.Millisecond)
	}
}
