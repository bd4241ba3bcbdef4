package website

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

func TestNewStatus(t *testing.T) {
	then, now := time.Unix(1000, 0), time.Unix(2000, 123456000)
	status := func(generation int64, phase v1alpha1.Phase, at time.Time) v1alpha1.WebsiteStatus {
		transition := metav1.NewMicroTime(at)
		return v1alpha1.WebsiteStatus{ObservedGeneration: generation, Phase: phase, LastTransitionTime: &transition}
	}
	for name, tc := range map[string]struct {
		generation  int64
		status      v1alpha1.WebsiteStatus
		phase       v1alpha1.Phase
		want        v1alpha1.WebsiteStatus
		wantChanged bool
	}{
		"new":                         {1, v1alpha1.WebsiteStatus{}, v1alpha1.PhasePending, status(1, v1alpha1.PhasePending, now), true},
		"another phase":               {1, status(1, v1alpha1.PhasePending, then), v1alpha1.PhaseReady, status(1, v1alpha1.PhaseReady, now), true},
		"another generation":          {2, status(1, v1alpha1.PhaseReady, then), v1alpha1.PhaseReady, status(2, v1alpha1.PhaseReady, now), true},
		"nothing new":                 {2, status(2, v1alpha1.PhaseReady, then), v1alpha1.PhaseReady, status(2, v1alpha1.PhaseReady, then), false},
		"somebody removed the status": {2, v1alpha1.WebsiteStatus{}, v1alpha1.PhaseReady, status(2, v1alpha1.PhaseReady, now), true},
	} {
		t.Run(name, func(t *testing.T) {
			website := &v1alpha1.Website{ObjectMeta: metav1.ObjectMeta{Generation: tc.generation}, Status: tc.status}
			got, changed := newStatus(website, tc.phase, now)
			if diff := cmp.Diff(tc.want, got); diff != "" || changed != tc.wantChanged {
				t.Errorf("changed: %v, status (-want +got):\n%s", changed, diff)
			}
		})
	}
}

func TestIsAvailable(t *testing.T) {
	conditions := func(status corev1.ConditionStatus) []appsv1.DeploymentCondition {
		return []appsv1.DeploymentCondition{
			{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionTrue}, {Type: appsv1.DeploymentAvailable, Status: status},
		}
	}
	for name, tc := range map[string]struct {
		generation, observed int64
		conditions           []appsv1.DeploymentCondition
		want                 bool
	}{
		"new":                    {generation: 1},
		"available":              {generation: 2, observed: 2, conditions: conditions(corev1.ConditionTrue), want: true},
		"not available":          {generation: 2, observed: 2, conditions: conditions(corev1.ConditionFalse)},
		"available until lately": {generation: 2, observed: 1, conditions: conditions(corev1.ConditionTrue)},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Generation: tc.generation},
				Status:     appsv1.DeploymentStatus{ObservedGeneration: tc.observed, Conditions: tc.conditions},
			}
			if got := isAvailable(deployment); got != tc.want {
				t.Errorf("available: %v", got)
			}
			// Also when it comes from the cache.
			trimmed, err := trim(deployment.DeepCopy())
			if err != nil {
				t.Fatal(err)
			}
			if got := isAvailable(trimmed.(*appsv1.Deployment)); got != tc.want {
				t.Errorf("available from the cache: %v", got)
			}
		})
	}
}

// TestWritten: a Website is left alone until the caches show what was written for it, but not for ever.
func TestWritten(t *testing.T) {
	now := time.Unix(1000, 0)
	w := newWritten()
	w.now = func() time.Time { return now }
	name, other := cache.NewObjectName("default", "a"), cache.NewObjectName("default", "b")
	missing := func(website cache.ObjectName, cached map[string]string) bool {
		t.Helper()
		wait, missing := w.missing(website, func(resource string) string { return cached[resource] })
		if missing && (wait <= 0 || wait > patience) {
			t.Errorf("wait for %s", wait)
		}
		return missing
	}
	check := func(what string, got, want bool) {
		t.Helper()
		if got != want {
			t.Errorf("%s: missing is %v", what, got)
		}
	}
	check("nothing written", missing(name, nil), false)
	w.note(name, "Service", "99")
	w.note(name, "Website", "101")
	check("none cached", missing(name, nil), true)
	check("one is behind", missing(name, map[string]string{"Service": "99", "Website": "98"}), true)
	check("the other stays seen", missing(name, map[string]string{"Website": "101"}), false)
	w.note(name, "Website", "999")
	w.note(name, "Website", "1000")
	check("the first of two writes", missing(name, map[string]string{"Website": "999"}), true)
	check("later than written", missing(name, map[string]string{"Website": "1002"}), false)
	w.note(name, "Service", "2000")
	check("another Website", missing(other, nil), false)
	now = now.Add(patience)
	check("it never comes", missing(name, nil), false)
	w.note(name, "Service", "3000")
	w.forget(name)
	check("forgotten", missing(name, nil), false)
	if len(w.byWebsite) > 0 {
		t.Errorf("something is left: %v", w.byWebsite)
	}
}

func testWebsite(labels map[string]string) *v1alpha1.Website {
	return &v1alpha1.Website{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "museum", UID: "1", Labels: labels}}
}

// TestThemeIsOnlyInConfigMap: no pod is replaced because of a Theme, and the ConfigMap tells them apart.
func TestThemeIsOnlyInConfigMap(t *testing.T) {
	website := testWebsite(nil)
	red := &v1alpha1.Theme{ObjectMeta: metav1.ObjectMeta{Name: "red"}, Spec: v1alpha1.ThemeSpec{Color: "#ff0000", FontFamily: "Fira Sans"}}
	page := newConfigMap(website, red).Data[pageFile]
	for _, want := range []string{"<h1>museum</h1>", "theme red", "color: #ff0000;", "font-family: Fira Sans;"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not have %q:\n%s", want, page)
		}
	}
	deployment := newDeployment(website)
	mount, volume := deployment.Spec.Template.Spec.Containers[0].VolumeMounts[0], deployment.Spec.Template.Spec.Volumes[0]
	if mount.SubPath != "" || mount.Name != volume.Name || volume.ConfigMap.Name != "museum" {
		t.Errorf("the page is not mounted as a volume that is refreshed: %+v of %+v", mount, volume)
	}
	if got := newIngress(website).Spec.Rules[0].HTTP.Paths[0].Path; !strings.HasSuffix(mount.MountPath, got) {
		t.Errorf("the page is at %s, and served at %s", mount.MountPath, got)
	}
}

func TestLoadTest(t *testing.T) {
	for name, tc := range map[string]struct {
		labels    map[string]string
		replicas  int32
		wantClass *string
	}{
		"no label":      {replicas: 1},
		"label":         {labels: map[string]string{v1alpha1.LabelLoadTest: "true"}, replicas: 0, wantClass: ptr.To(loadTestIngressClass)},
		"another value": {labels: map[string]string{v1alpha1.LabelLoadTest: "false"}, replicas: 1},
	} {
		t.Run(name, func(t *testing.T) {
			website := testWebsite(tc.labels)
			if got := *newDeployment(website).Spec.Replicas; got != tc.replicas {
				t.Errorf("%d replicas, want %d", got, tc.replicas)
			}
			if diff := cmp.Diff(tc.wantClass, newIngress(website).Spec.IngressClassName); diff != "" {
				t.Errorf("class (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTrim(t *testing.T) {
	service := newService(testWebsite(nil))
	service.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "somebody"}}
	service.Annotations = map[string]string{"long": "text"}
	got, err := trim(service.DeepCopy())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(newService(testWebsite(nil)), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	tombstone := cache.DeletedFinalStateUnknown{Key: "default/museum"}
	if got, err := trim(tombstone); err != nil || got != any(tombstone) {
		t.Errorf("a tombstone became %v, %v", got, err)
	}
}

// TestAsDesired: what others add is no reason to write, what they change is.
func TestAsDesired(t *testing.T) {
	deployments := newChildren(nil, informers.NewSharedInformerFactory(nil, 0)).deployments
	website := testWebsite(map[string]string{v1alpha1.LabelLoadTest: "true"})
	for name, tc := range map[string]struct {
		change func(*appsv1.Deployment)
		want   bool
	}{
		"as it was created": {func(*appsv1.Deployment) {}, true},
		"defaults": {func(d *appsv1.Deployment) {
			d.Spec.RevisionHistoryLimit = ptr.To[int32](10)
			d.Spec.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
			d.Spec.Template.Spec.RestartPolicy = corev1.RestartPolicyAlways
			d.Spec.Template.Spec.Containers[0].ImagePullPolicy = corev1.PullIfNotPresent
		}, true},
		"a label":   {func(d *appsv1.Deployment) { d.Labels["mine"] = "yes" }, true},
		"our label": {func(d *appsv1.Deployment) { delete(d.Labels, labelWebsite) }, false},
		"replicas":  {func(d *appsv1.Deployment) { d.Spec.Replicas = ptr.To[int32](1) }, false},
		"image":     {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "other" }, false},
		"a sidecar": {func(d *appsv1.Deployment) {
			c := &d.Spec.Template.Spec
			c.Containers = append(c.Containers, corev1.Container{Name: "x"})
		}, true},
		"no container":      {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers = nil }, false},
		"another ConfigMap": {func(d *appsv1.Deployment) { d.Spec.Template.Spec.Volumes[0].ConfigMap.Name = "other" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := newDeployment(website)
			tc.change(deployment)
			if got := deployments.asDesired(deployment, newDeployment(website)); got != tc.want {
				t.Errorf("as desired: %v", got)
			}
		})
	}
}
