package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

// synced wants the Foo to have been synced in its present generation.
func synced(foo *v1alpha1.Foo, _ *appsv1.Deployment) error {
	if foo.Status.ObservedGeneration != foo.Generation {
		return fmt.Errorf("generation %d was observed, want %d", foo.Status.ObservedGeneration, foo.Generation)
	}
	return nil
}

func replicas(want int32) func(*v1alpha1.Foo, *appsv1.Deployment) error {
	return func(_ *v1alpha1.Foo, deployment *appsv1.Deployment) error {
		if got := ptr.Deref(deployment.Spec.Replicas, -1); got != want {
			return fmt.Errorf("%d replicas, want %d", got, want)
		}
		return nil
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recordFile, writes, _ := w.startController(setup{})
	w.createFoo("a", ptr.To[int32](2), nil)
	foo, deployment := w.waitFoo("a", synced)

	if err := replicas(2)(foo, deployment); err != nil {
		t.Error(err)
	}
	if !metav1.IsControlledBy(deployment, foo) {
		t.Errorf("the Deployment is controlled by %v", deployment.OwnerReferences)
	}
	want := v1alpha1.FooStatus{
		ObservedGeneration: 1,
		Conditions: []metav1.Condition{{
			Type: v1alpha1.ConditionSynced, Status: metav1.ConditionTrue, ObservedGeneration: 1,
			Reason: v1alpha1.ReasonSynced, Message: "The Deployment is as the spec wants it",
		}},
	}
	if diff := cmp.Diff(want, foo.Status, cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime")); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	w.waitEvent(foo, corev1.EventTypeNormal, reasonCreated)

	// A sync that finds everything as it should be writes nothing. At first it can be late to see what it wrote itself.
	after := []int64{writes.writes.Load()}
	for round, quiet := 0, 0; quiet < 3; round++ {
		before := len(waitWork(t, recordFile, foo, 1))
		w.patchFoo("a", fmt.Sprintf(`{"metadata":{"annotations":{"round":"%d"}}}`, round))
		waitWork(t, recordFile, foo, before+1)
		after = append(after, writes.writes.Load())
		if quiet++; after[round+1] != after[round] {
			quiet = 0
		}
		if round == 20 {
			t.Fatalf("after each round there were so many writes: %v, want no more at some time", after)
		}
	}
}

func (w *world) patchFoo(name, patch string) {
	w.t.Helper()
	_, err := w.foo.SamplecontrollerV1alpha1().Foos(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) patchDeployment(name, patch string, subresources ...string) {
	w.t.Helper()
	_, err := w.kube.AppsV1().Deployments(w.namespace).Patch(w.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recordFile, _, _ := w.startController(setup{})
	foo := w.createFoo("a", ptr.To[int32](1), nil)
	w.waitFoo("a", synced)

	w.patchFoo("a", `{"spec":{"replicas":3}}`)
	w.waitFoo("a", replicas(3))
	w.waitEvent(foo, corev1.EventTypeNormal, reasonScaled)

	// Somebody else scales it and labels it. The one is undone, the other is not.
	w.patchDeployment("a", `{"metadata":{"labels":{"mine":"yes"}},"spec":{"replicas":7}}`)
	_, deployment := w.waitFoo("a", replicas(3))
	if deployment.Labels["mine"] != "yes" {
		t.Error("the controller has removed a label of somebody else")
	}

	// Without a number, whoever scales it is left alone.
	w.patchFoo("a", `{"spec":{"replicas":null}}`)
	w.waitFoo("a", synced)
	before := len(waitWork(t, recordFile, foo, 1))
	w.patchDeployment("a", `{"spec":{"replicas":5}}`)
	waitWork(t, recordFile, foo, before+1)
	foo, deployment = w.waitFoo("a", synced)
	if err := replicas(5)(foo, deployment); err != nil {
		t.Error(err)
	}
}

func TestStatusFollowsDeployment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cluster.RequireControl(t) // an existing cluster has a controller of Deployments
	w.startController(setup{})
	w.createFoo("a", ptr.To[int32](2), nil)
	w.waitFoo("a", synced)
	w.patchDeployment("a", `{"status":{"replicas":2,"readyReplicas":2,"availableReplicas":2}}`, "status")
	w.waitFoo("a", func(foo *v1alpha1.Foo, _ *appsv1.Deployment) error {
		if foo.Status.AvailableReplicas != 2 {
			return fmt.Errorf("status has %d available replicas", foo.Status.AvailableReplicas)
		}
		return nil
	})
}

func TestDeletedDeploymentComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startController(setup{})
	w.createFoo("a", nil, nil)
	_, deployment := w.waitFoo("a", synced)
	if err := w.kube.AppsV1().Deployments(w.namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.waitFoo("a", func(_ *v1alpha1.Foo, other *appsv1.Deployment) error {
		if other.UID == deployment.UID {
			return errors.New("the Deployment is still the old one")
		}
		return nil
	})
}

// TestNotControlled: a Deployment of somebody else is left alone, also one that the controller's informer does not show.
func TestNotControlled(t *testing.T) {
	t.Parallel()
	for name, hidden := range map[string]bool{"in the cache": false, "hidden": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			other := newDeployment(&v1alpha1.Foo{
				ObjectMeta: metav1.ObjectMeta{Name: "other", UID: "other"},
				Spec:       v1alpha1.FooSpec{DeploymentName: "a", Replicas: ptr.To[int32](9)},
			})
			other.OwnerReferences = nil
			other, err := w.kube.AppsV1().Deployments(w.namespace).Create(t.Context(), other, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			w.startController(setup{hideDeployments: hidden})
			foo := w.createFoo("a", ptr.To[int32](1), nil)
			w.waitFoo("a", func(foo *v1alpha1.Foo, deployment *appsv1.Deployment) error {
				for _, c := range foo.Status.Conditions {
					if c.Type == v1alpha1.ConditionSynced && c.Status == metav1.ConditionFalse && c.Reason == v1alpha1.ReasonDeploymentNotControlled {
						return replicas(9)(foo, deployment)
					}
				}
				return fmt.Errorf("conditions are %v", foo.Status.Conditions)
			})
			w.waitEvent(foo, corev1.EventTypeWarning, reasonDeploymentNotControlled)
			got, err := w.kube.AppsV1().Deployments(w.namespace).Get(t.Context(), "a", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			wantUnwritten(t, other, got)

			// The name becomes free, and the Foo takes it.
			if err := w.kube.AppsV1().Deployments(w.namespace).Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			w.waitFoo("a", func(foo *v1alpha1.Foo, deployment *appsv1.Deployment) error {
				if !metav1.IsControlledBy(deployment, foo) || foo.Status.Conditions[0].Status != metav1.ConditionTrue {
					return fmt.Errorf("conditions are %v", foo.Status.Conditions)
				}
				return nil
			})
		})
	}
}

// wantUnwritten compares what only the sample controller writes. Status and annotations are those of Kubernetes' own
// controller, if the cluster has one.
func wantUnwritten(t *testing.T, before, after *appsv1.Deployment) {
	t.Helper()
	if diff := cmp.Diff(before.Spec, after.Spec) + cmp.Diff(before.Labels, after.Labels) +
		cmp.Diff(before.OwnerReferences, after.OwnerReferences); diff != "" {
		t.Errorf("the Deployment was written (-before +after):\n%s", diff)
	}
}

// TestOutOfSight: a Deployment of the Foo that the informer does not show (yet), as one that is with another shard, is
// neither written nor taken for somebody else's.
func TestOutOfSight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recordFile, _, _ := w.startController(setup{hideDeployments: true})
	foo := w.createFoo("a", ptr.To[int32](1), nil)
	_, before := w.waitFoo("a", synced)
	done := len(waitWork(t, recordFile, foo, 1))
	w.patchFoo("a", `{"spec":{"replicas":2}}`)
	waitWork(t, recordFile, foo, done+3)
	foo, after := w.waitFoo("a", func(*v1alpha1.Foo, *appsv1.Deployment) error { return nil })
	wantUnwritten(t, before, after)
	if foo.Status.ObservedGeneration != 1 || foo.Status.Conditions[0].Status != metav1.ConditionTrue {
		t.Errorf("status is %+v, want that of before", foo.Status)
	}
}

// TestStopDuringWork: Run returns soon after its context has ended, with all work recorded as ended, and leaves alone what
// is still in the queue.
func TestStopDuringWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	recordFile, writes, stop := w.startController(setup{workDuration: time.Hour})
	const foos = 20
	for i := range foos {
		w.createFoo(fmt.Sprintf("a-%d", i), nil, nil)
	}
	var intervals []record.Interval
	testenv.Poll(t, patience, func(context.Context) (err error) {
		intervals, err = record.Read(recordFile)
		if len(intervals) < 4 {
			return fmt.Errorf("%d Foos are worked on, want 4: %v", len(intervals), err)
		}
		return err
	})
	begun := time.Now()
	stop()
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s to stop", took)
	}
	intervals, err := record.Read(recordFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(intervals) != 4 {
		t.Errorf("work has begun on %d Foos, want 4", len(intervals))
	}
	for _, i := range intervals {
		if i.End.IsZero() {
			t.Errorf("work has not ended: %s", i)
		}
	}
	if got := writes.writes.Load(); got != 0 {
		t.Errorf("%d writes, want none", got)
	}
}

func TestEnqueueOwner(t *testing.T) {
	deployment := func(kind, apiVersion string, controller bool) *appsv1.Deployment {
		return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "d", OwnerReferences: []metav1.OwnerReference{
			{APIVersion: apiVersion, Kind: kind, Name: "a", UID: "x", Controller: ptr.To(controller)},
		}}}
	}
	group := v1alpha1.SchemeGroupVersion.Group
	for name, tc := range map[string]struct {
		obj  any
		want []cache.ObjectName
	}{
		"of a Foo":            {obj: deployment("Foo", group+"/v1alpha1", true), want: []cache.ObjectName{{Namespace: "ns", Name: "a"}}},
		"of another version":  {obj: deployment("Foo", group+"/v2", true), want: []cache.ObjectName{{Namespace: "ns", Name: "a"}}},
		"of another group":    {obj: deployment("Foo", "example.com/v1alpha1", true)},
		"of another kind":     {obj: deployment("Bar", group+"/v1alpha1", true)},
		"of no group at all":  {obj: deployment("Foo", "a/b/c", true)},
		"owned, not governed": {obj: deployment("Foo", group+"/v1alpha1", false)},
		"of nobody":           {obj: &appsv1.Deployment{}},
		"tombstone": {
			obj:  cache.DeletedFinalStateUnknown{Key: "ns/d", Obj: deployment("Foo", group+"/v1alpha1", true)},
			want: []cache.ObjectName{{Namespace: "ns", Name: "a"}},
		},
		"empty tombstone": {obj: cache.DeletedFinalStateUnknown{Key: "ns/d"}},
		"nonsense":        {obj: 7},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Controller{queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[cache.ObjectName]())}
			c.enqueueOwner(tc.obj)
			c.queue.ShutDown()
			var got []cache.ObjectName
			for {
				name, shutdown := c.queue.Get()
				if shutdown {
					break
				}
				got = append(got, name)
				c.queue.Done(name)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("queue (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRules: what the CRD refuses.
func TestRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	foos := w.foo.SamplecontrollerV1alpha1().Foos(w.namespace)
	for name, spec := range map[string]v1alpha1.FooSpec{
		"no name":           {},
		"no name at all":    {DeploymentName: "A_"},
		"negative replicas": {DeploymentName: "a", Replicas: ptr.To[int32](-1)},
	} {
		t.Run(name, func(t *testing.T) {
			foo := &v1alpha1.Foo{ObjectMeta: metav1.ObjectMeta{GenerateName: "a-"}, Spec: spec}
			if _, err := foos.Create(t.Context(), foo, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
				t.Errorf("got %v, want it to be invalid", err)
			}
		})
	}
	w.createFoo("a", nil, nil)
	_, err := foos.Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"deploymentName":"b"}}`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) {
		t.Errorf("another deploymentName: %v, want it to be invalid", err)
	}
}

func TestNewControllerRefuses(t *testing.T) {
	if _, err := NewController(Config{}); err == nil {
		t.Error("no error without clients and informers")
	}
}
