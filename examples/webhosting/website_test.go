package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
)

// settle waits until the record has been quiet for a while, so that nothing more comes of what was written, and returns
// how often the operator worked.
func (r *replica) settle() int {
	r.t.Helper()
	before, quiet := -1, 0
	testenv.Poll(r.t, patience, func(context.Context) error {
		intervals, err := record.Read(r.record)
		if err != nil {
			return err
		}
		if len(intervals) != before {
			before, quiet = len(intervals), 0
		}
		if quiet++; quiet < 40 { // a second
			return fmt.Errorf("worked %d times, the last time just now", len(intervals))
		}
		return nil
	})
	return before
}

// TestReady: a Website becomes ready with its four objects, and every object is written as often as needed.
func TestReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, written := w.startCounted()
	w.createWebsite("museum")
	museum := w.waitPhase("museum", v1alpha1.PhaseReady)
	if _, err := w.children(t.Context(), museum); err != nil {
		t.Error(err)
	}
	if museum.Status.LastTransitionTime.IsZero() {
		t.Error("the status has no lastTransitionTime")
	}
	w.waitEvent(museum, corev1.EventTypeNormal, "Ready")
	r.settle()
	want := []string{"PATCH websites/status", "PATCH websites/status", "POST configmaps", "POST deployments", "POST ingresses", "POST services"}
	got := written.take()
	slices.Sort(got)
	// When the Deployment is available before its Website has been seen as Pending, one write of the status is enough.
	if diff := cmp.Diff(want, got); diff != "" && !cmp.Equal(want[1:], got) {
		t.Errorf("written (-want +got):\n%s", diff)
	}

	// A change that means nothing to the operator: it looks, and writes nothing.
	before := r.settle()
	w.patchWebsite("museum", `{"metadata":{"labels":{"a":"b"}}}`)
	testenv.Poll(t, patience, func(context.Context) error {
		if r.settle() == before {
			return fmt.Errorf("it did not look")
		}
		return nil
	})
	if got := written.take(); len(got) > 0 {
		t.Errorf("nothing was to be done, and this was written: %v", got)
	}
}

// TestChanges: a changed Website costs two writes, a changed Theme one for each Website that uses it.
func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.theme + "-other"
	w.createTheme(other, "blue")
	r, written := w.startCounted()
	for _, name := range []string{"a", "b"} {
		w.createWebsite(name)
		w.waitPhase(name, v1alpha1.PhaseReady)
	}
	r.settle()
	written.take()
	a := w.waitPhase("a", v1alpha1.PhaseReady)
	before, err := w.children(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}

	w.patchWebsite("a", fmt.Sprintf(`{"spec":{"theme":%q}}`, other))
	after := w.waitPhase("a", v1alpha1.PhaseReady)
	r.settle()
	if diff := cmp.Diff([]string{"PATCH configmaps", "PATCH websites/status"}, written.take()); diff != "" {
		t.Errorf("written for another Theme (-want +got):\n%s", diff)
	}
	if !after.Status.LastTransitionTime.After(a.Status.LastTransitionTime.Time) {
		t.Errorf("lastTransitionTime did not move: %s, then %s", a.Status.LastTransitionTime, after.Status.LastTransitionTime)
	}

	w.patchTheme(other, `{"spec":{"color":"green"}}`)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		return w.page(ctx, "a", "green")
	})
	r.settle()
	if diff := cmp.Diff([]string{"PATCH configmaps"}, written.take()); diff != "" {
		t.Errorf("written for a changed Theme (-want +got):\n%s", diff)
	}
	now, err := w.children(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	before["configmaps"] = now["configmaps"]
	if diff := cmp.Diff(before, now); diff != "" {
		t.Errorf("more than the ConfigMap was written (-before +now):\n%s", diff)
	}
	if err := w.page(t.Context(), "b", "red"); err != nil {
		t.Error(err)
	}
}

// TestFarAway: with an API server that answers late, and whose events come late, nothing is written twice.
func TestFarAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := cluster.Config()
	config.Host = "https://" + cluster.Proxy(t, 30*time.Millisecond).Addr()
	r, written := w.startCountedWith(config)

	const count = 10
	ready := func() {
		for i := range count {
			w.waitPhase(fmt.Sprintf("museum-%d", i), v1alpha1.PhaseReady)
		}
		r.settle()
	}
	for i := range count {
		w.createWebsite(fmt.Sprintf("museum-%d", i))
	}
	ready()
	got := map[string]int{}
	for _, write := range written.take() {
		got[write]++
	}
	if status := got["PATCH websites/status"]; status < count || status > 2*count {
		t.Errorf("the status of %d Websites was written %d times", count, status)
	}
	delete(got, "PATCH websites/status")
	want := map[string]int{"POST configmaps": count, "POST services": count, "POST deployments": count, "POST ingresses": count}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("written for new Websites (-want +got):\n%s", diff)
	}

	other := w.theme + "-other"
	w.createTheme(other, "blue")
	r.settle()
	for i := range count {
		w.patchWebsite(fmt.Sprintf("museum-%d", i), fmt.Sprintf(`{"spec":{"theme":%q}}`, other))
	}
	ready()
	clear(got)
	for _, write := range written.take() {
		got[write]++
	}
	if diff := cmp.Diff(map[string]int{"PATCH configmaps": count, "PATCH websites/status": count}, got); diff != "" {
		t.Errorf("written for another Theme (-want +got):\n%s", diff)
	}
}

// page returns an error unless the Website's page has the color.
func (w *world) page(ctx context.Context, name, color string) error {
	configMap, err := w.kube.CoreV1().ConfigMaps(w.namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if page := configMap.Data["index.html"]; !strings.Contains(page, "color: "+color+";") {
		return fmt.Errorf("page is not %s:\n%s", color, page)
	}
	return nil
}

// TestMissingTheme: a Website without its Theme is in error, and recovers when the Theme comes.
func TestMissingTheme(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r, written := w.startCounted()
	w.theme += "-missing"
	w.createWebsite("museum")
	museum := w.waitPhase("museum", v1alpha1.PhaseError)
	w.waitEvent(museum, corev1.EventTypeWarning, "ThemeNotFound")
	r.settle()
	if diff := cmp.Diff([]string{"PATCH websites/status"}, written.take()); diff != "" {
		t.Errorf("written (-want +got):\n%s", diff)
	}

	w.createTheme(w.theme, "red")
	museum = w.waitPhase("museum", v1alpha1.PhaseReady)
	w.waitEvent(museum, corev1.EventTypeNormal, "Ready")

	// The Theme is deleted: what is there stays.
	if err := w.web.WebhostingV1alpha1().Themes().Delete(t.Context(), w.theme, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	museum = w.waitPhase("museum", v1alpha1.PhaseError)
	if _, err := w.children(t.Context(), museum); err != nil {
		t.Error(err)
	}
}

// TestRepair: what others change or delete is restored, what they add is left alone.
func TestRepair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startCounted()
	w.createWebsite("museum")
	museum := w.waitPhase("museum", v1alpha1.PhaseReady)
	deployments, services := w.kube.AppsV1().Deployments(w.namespace), w.kube.CoreV1().Services(w.namespace)
	testenv.Poll(t, patience, func(ctx context.Context) error { // or Kubernetes has written its status in between
		deployment, err := deployments.Get(ctx, "museum", metav1.GetOptions{})
		if err != nil {
			return err
		}
		deployment.Labels["mine"] = "yes"
		deployment.Spec.Replicas = ptr.To[int32](3)
		deployment.Spec.MinReadySeconds = 7
		deployment.Spec.Template.Spec.Containers[0].Image = "nginx:ancient"
		deployment.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](3)
		_, err = deployments.Update(ctx, deployment, metav1.UpdateOptions{})
		return err
	})
	if err := services.Delete(t.Context(), "museum", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	testenv.Poll(t, patience, func(ctx context.Context) error {
		deployment, err := deployments.Get(ctx, "museum", metav1.GetOptions{})
		if err != nil {
			return err
		}
		spec := deployment.Spec.Template.Spec
		got := []any{deployment.Labels["mine"], *deployment.Spec.Replicas, spec.Containers[0].Image, *spec.TerminationGracePeriodSeconds}
		if diff := cmp.Diff([]any{"yes", int32(0), "nginx:stable-alpine", int64(3)}, got); diff != "" {
			return fmt.Errorf("label, replicas, image, grace period (-want +got):\n%s", diff)
		}
		_, err = w.children(ctx, museum)
		return err
	})
}

// TestNameTaken: an object of somebody else is left alone, and its name is used when it is free.
func TestNameTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startCounted()
	services := w.kube.CoreV1().Services(w.namespace)
	foreign, err := services.Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "museum"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8080}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.createWebsite("museum")
	museum := w.waitPhase("museum", v1alpha1.PhaseError)
	w.waitEvent(museum, corev1.EventTypeWarning, "NameTaken")
	if now, err := services.Get(t.Context(), "museum", metav1.GetOptions{}); err != nil || now.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("the Service of somebody else is %v, %v", now, err)
	}
	if err := services.Delete(t.Context(), "museum", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.waitPhase("museum", v1alpha1.PhaseReady)
}

// TestDelete: what a Website controls is deleted with it, and a Website that waits for that says so.
func TestDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startCounted()
	w.createWebsite("museum")
	w.waitPhase("museum", v1alpha1.PhaseReady)
	w.patchWebsite("museum", `{"metadata":{"finalizers":["example.com/wait"]}}`)
	websites := w.web.WebhostingV1alpha1().Websites(w.namespace)
	if err := websites.Delete(t.Context(), "museum", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	w.waitPhase("museum", v1alpha1.PhaseTerminating)
	w.patchWebsite("museum", `{"metadata":{"finalizers":null}}`)
	testenv.Poll(t, patience, func(ctx context.Context) error {
		_, err1 := w.kube.CoreV1().ConfigMaps(w.namespace).Get(ctx, "museum", metav1.GetOptions{})
		_, err2 := w.kube.CoreV1().Services(w.namespace).Get(ctx, "museum", metav1.GetOptions{})
		_, err3 := w.kube.AppsV1().Deployments(w.namespace).Get(ctx, "museum", metav1.GetOptions{})
		_, err4 := w.kube.NetworkingV1().Ingresses(w.namespace).Get(ctx, "museum", metav1.GetOptions{})
		for _, err := range []error{err1, err2, err3, err4} {
			if !apierrors.IsNotFound(err) {
				return fmt.Errorf("an object is still there: %v", err)
			}
		}
		return nil
	})
	// The same name again, while traces of the former may still be around.
	w.createWebsite("museum")
	w.waitPhase("museum", v1alpha1.PhaseReady)
}
