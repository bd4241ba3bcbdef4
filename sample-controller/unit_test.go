package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubeinformers "k8s.io/client-go/informers"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	events "k8s.io/client-go/tools/record"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/pkg/shard/shardtest"
	"github.com/clusterring/clusterring/pkg/wire"
	foofake "github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned/fake"
	"github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

// A fixture is a controller with fake clients, and with informers that have been filled by hand and do not run.
type fixture struct {
	*Controller
	kube *kubefake.Clientset
	foo  *foofake.Clientset
}

// newFixture returns a controller that finds these objects. It is sharded if there is a shard: that is all that changes.
func newFixture(t *testing.T, s *shardtest.Shard, foo *v1alpha1.Foo, deployments ...*appsv1.Deployment) *fixture {
	t.Helper()
	f := &fixture{kube: kubefake.NewClientset(), foo: foofake.NewClientset(foo)}
	foos := externalversions.NewSharedInformerFactory(f.foo, 0).Samplecontroller().V1alpha1().Foos()
	kube := kubeinformers.NewSharedInformerFactory(f.kube, 0).Apps().V1().Deployments()
	objects := map[runtime.Object]cache.Indexer{foo: foos.Informer().GetIndexer()}
	for _, deployment := range deployments {
		objects[deployment] = kube.Informer().GetIndexer()
		if err := f.kube.Tracker().Add(deployment); err != nil {
			t.Fatal(err)
		}
	}
	for object, indexer := range objects {
		if err := indexer.Add(object); err != nil {
			t.Fatal(err)
		}
	}
	cfg := Config{KubeClient: f.kube, FooClient: f.foo, Foos: foos, Deployments: kube}
	if s != nil {
		cfg.Shard, cfg.Resource = s.Shard, s.Resource(v1alpha1.SchemeGroupVersion.WithKind("Foo"))
	}
	var err error
	if f.Controller, err = NewController(cfg); err != nil {
		t.Fatal(err)
	}
	f.events = events.NewFakeRecorder(10)
	return f
}

// writes returns what the clients have changed, in order.
func (f *fixture) writes() []string {
	var writes []string
	for _, action := range append(f.kube.Actions(), f.foo.Actions()...) {
		if verb := action.GetVerb(); verb != "get" && verb != "list" && verb != "watch" {
			resource := strings.TrimSuffix(action.GetResource().Resource+"/"+action.GetSubresource(), "/")
			writes = append(writes, verb+" "+resource)
		}
	}
	return writes
}

func newFoo(replicas int32) *v1alpha1.Foo {
	return &v1alpha1.Foo{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "a", UID: "a", Generation: 1},
		Spec:       v1alpha1.FooSpec{DeploymentName: "a-deployment", Replicas: ptr.To(replicas)},
	}
}

// sharded runs the test with a controller that is sharded, and with one that is not.
func sharded(t *testing.T, test func(t *testing.T, s *shardtest.Shard)) {
	t.Run("sharded", func(t *testing.T) { test(t, shardtest.New(t)) })
	t.Run("not sharded", func(t *testing.T) { test(t, nil) })
}

// TestSync: what one sync writes, depending on what it finds.
func TestSync(t *testing.T) {
	// What upstream's controller has tests for, and some more.
	for name, tc := range map[string]struct {
		find    func(foo *v1alpha1.Foo) []*appsv1.Deployment // may change the Foo
		want    []string
		wantErr error
	}{
		"there is no Deployment": {
			find: func(*v1alpha1.Foo) []*appsv1.Deployment { return nil },
			want: []string{"create deployments", "update foos/status"},
		},
		"all is as it should be": {
			find: func(foo *v1alpha1.Foo) []*appsv1.Deployment {
				deployment := newDeployment(foo)
				foo.Status = newStatus(foo, deployment)
				return []*appsv1.Deployment{deployment}
			},
		},
		"the status is missing": {
			find: func(foo *v1alpha1.Foo) []*appsv1.Deployment { return []*appsv1.Deployment{newDeployment(foo)} },
			want: []string{"update foos/status"},
		},
		"the Foo was scaled": {
			find: func(foo *v1alpha1.Foo) []*appsv1.Deployment {
				deployment := newDeployment(foo)
				foo.Spec.Replicas = ptr.To[int32](7)
				return []*appsv1.Deployment{deployment}
			},
			want: []string{"update deployments", "update foos/status"},
		},
		"the Deployment belongs to nobody": {
			find: func(foo *v1alpha1.Foo) []*appsv1.Deployment {
				deployment := newDeployment(foo)
				deployment.OwnerReferences = nil
				return []*appsv1.Deployment{deployment}
			},
			want: []string{"update foos/status"}, wantErr: errNotControlled,
		},
		"the Foo is being deleted": {
			find: func(foo *v1alpha1.Foo) []*appsv1.Deployment {
				foo.DeletionTimestamp, foo.Finalizers = ptr.To(metav1.Now()), []string{"example.com/wait"}
				return nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sharded(t, func(t *testing.T, s *shardtest.Shard) {
				foo := newFoo(1)
				deployments := tc.find(foo)
				f := newFixture(t, s, foo, deployments...)
				if err := f.sync(t.Context(), cache.MetaObjectToName(foo)); !errors.Is(err, tc.wantErr) {
					t.Errorf("sync: %v, want %v", err, tc.wantErr)
				}
				if diff := cmp.Diff(tc.want, f.writes()); diff != "" {
					t.Errorf("writes (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestSyncOfNothing: a key whose Foo is gone, or at another shard.
func TestSyncOfNothing(t *testing.T) {
	sharded(t, func(t *testing.T, s *shardtest.Shard) {
		f := newFixture(t, s, newFoo(1))
		if err := f.sync(t.Context(), cache.NewObjectName("default", "other")); err != nil {
			t.Error(err)
		}
		if got := f.writes(); len(got) > 0 {
			t.Errorf("writes: %v", got)
		}
	})
}

// TestSyncOfAnothersFoo: the informer still has a Foo that has gone to another shard.
func TestSyncOfAnothersFoo(t *testing.T) {
	s, foo := shardtest.New(t), newFoo(1)
	f := newFixture(t, s, foo)
	s.Disown(f.Resource, foo.Namespace, foo.Name)
	if err := f.sync(t.Context(), cache.MetaObjectToName(foo)); err != nil {
		t.Error(err)
	}
	if got := f.writes(); len(got) > 0 {
		t.Errorf("writes: %v", got)
	}
}

// TestChildHasTheSlot: a Deployment is created with the label of its Foo, and needs no webhook.
func TestChildHasTheSlot(t *testing.T) {
	foo := newFoo(1)
	label := wire.SlotLabel(shardtest.Ring)
	foo.Labels = map[string]string{label: "7", "other": "label"}
	f := newFixture(t, shardtest.New(t), foo)
	if err := f.sync(t.Context(), cache.MetaObjectToName(foo)); err != nil {
		t.Fatal(err)
	}
	for _, action := range f.kube.Actions() {
		if create, ok := action.(clienttesting.CreateAction); ok {
			want := map[string]string{label: "7"}
			if diff := cmp.Diff(want, create.GetObject().(*appsv1.Deployment).Labels); diff != "" {
				t.Errorf("labels of the Deployment (-want +got):\n%s", diff)
			}
			return
		}
	}
	t.Error("no Deployment was created")
}
