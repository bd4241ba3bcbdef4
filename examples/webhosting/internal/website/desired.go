package website

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

const (
	// LabelManagedBy and ManagedBy are the label of all objects that the operator creates.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = Component

	// labelWebsite has the name of the Website that an object belongs to.
	labelWebsite = webhosting.GroupName + "/website"

	// loadTestIngressClass is a class that nobody serves.
	loadTestIngressClass = "load-test"

	image    = "nginx:stable-alpine"
	portName = "http"
	pageFile = "index.html"
)

// page is what the web server shows. Nothing in it needs escaping: names are DNS labels, and the API server refuses a Theme
// that could break out of the style.
const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>%[1]s</title>
<style>body { color: %[3]s; font-family: %[4]s; }</style>
</head>
<body>
<h1>%[1]s</h1>
<p>in the theme %[2]s</p>
</body>
</html>
`

func newMeta(website *v1alpha1.Website) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:       website.Namespace,
		Name:            website.Name,
		Labels:          map[string]string{LabelManagedBy: ManagedBy, labelWebsite: website.Name},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(website, v1alpha1.SchemeGroupVersion.WithKind("Website"))},
	}
}

// pods are the labels of the pods of a Website.
func pods(website *v1alpha1.Website) map[string]string {
	return map[string]string{labelWebsite: website.Name}
}

// path is where the Website is served, and where its page is among the files of the web server.
func path(website *v1alpha1.Website) string { return "/" + website.Namespace + "/" + website.Name }

func isLoadTest(website *v1alpha1.Website) bool {
	return website.Labels[v1alpha1.LabelLoadTest] == "true"
}

func newConfigMap(website *v1alpha1.Website, theme *v1alpha1.Theme) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: newMeta(website),
		Data:       map[string]string{pageFile: fmt.Sprintf(page, website.Name, theme.Name, theme.Spec.Color, theme.Spec.FontFamily)},
	}
}

func newService(website *v1alpha1.Website) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: newMeta(website),
		Spec: corev1.ServiceSpec{
			Selector: pods(website),
			Ports:    []corev1.ServicePort{{Name: portName, Port: 80, TargetPort: intstr.FromString(portName)}},
		},
	}
}

// newDeployment returns a Deployment that does not depend on the Theme: the page comes from a volume that is refreshed.
// Numbers are given even if they are the API server's defaults, because zero counts as a value.
func newDeployment(website *v1alpha1.Website) *appsv1.Deployment {
	replicas := int32(1)
	if isLoadTest(website) {
		replicas = 0
	}
	return &appsv1.Deployment{
		ObjectMeta: newMeta(website),
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: pods(website)},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: pods(website)},
				Spec: corev1.PodSpec{
					AutomountServiceAccountToken: ptr.To(false),
					Containers: []corev1.Container{{
						Name:  "nginx",
						Image: image,
						Ports: []corev1.ContainerPort{{Name: portName, ContainerPort: 80}},
						Resources: corev1.ResourceRequirements{
							Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi")},
						},
						ReadinessProbe: &corev1.Probe{
							ProbeHandler:   corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path(website) + "/", Port: intstr.FromString(portName)}},
							TimeoutSeconds: 1, PeriodSeconds: 5, SuccessThreshold: 1, FailureThreshold: 3,
						},
						VolumeMounts: []corev1.VolumeMount{{Name: "page", MountPath: "/usr/share/nginx/html" + path(website)}},
					}},
					Volumes: []corev1.Volume{{
						Name: "page",
						VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
							LocalObjectReference: corev1.LocalObjectReference{Name: website.Name},
						}},
					}},
				},
			},
		},
	}
}

func newIngress(website *v1alpha1.Website) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{
		ObjectMeta: newMeta(website),
		Spec: networkingv1.IngressSpec{
			Rules: []networkingv1.IngressRule{{
				IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
					Paths: []networkingv1.HTTPIngressPath{{
						Path:     path(website),
						PathType: ptr.To(networkingv1.PathTypePrefix),
						Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
							Name: website.Name, Port: networkingv1.ServiceBackendPort{Name: portName},
						}},
					}},
				}},
			}},
		},
	}
	if isLoadTest(website) {
		ingress.Spec.IngressClassName = ptr.To(loadTestIngressClass)
	}
	return ingress
}
