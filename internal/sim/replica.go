package sim

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder"
	"github.com/clusterring/clusterring/pkg/sharder/config"
)

// replica is a process of the sharder.
type replica struct {
	*World
	*instance
	sharder *sharder.Sharder
}

func (w *World) startReplica(name string, number int, c Conditions) (*instance, error) {
	i, ctx := w.newInstance(name, number, c)
	r := &replica{World: w, instance: i}
	r.link.sent = r.checkWrites
	r.link.edit = w.mutant.edit()
	cfg := config.Default()
	cfg.Namespace = sharderNamespace
	cfg.Client.RESTConfig = simapi.ConfigOver(r.link)
	cfg.Webhook.BindAddress, cfg.Webhook.URL = "0", "https://sharder:443"
	cfg.Metrics.BindAddress = "0"
	cfg.LeaderElection.LeaseDuration = metav1.Duration{Duration: leaseDuration}
	cfg.LeaderElection.RenewDeadline = metav1.Duration{Duration: renewDeadline}
	cfg.LeaderElection.RetryPeriod = metav1.Duration{Duration: retryPeriod}
	cfg.Assignment.AuditInterval = metav1.Duration{Duration: w.plan.AuditInterval}
	s, err := sharder.New(cfg, prometheus.NewRegistry())
	if err != nil {
		return nil, err
	}
	r.sharder = s
	if w.mutant.Hoarding {
		hoard := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(cfg.Client.RESTConfig), 0)
		hoard.Core().V1().ConfigMaps().Informer()
		hoard.StartWithContext(ctx)
	}
	w.mu.Lock()
	w.replicas[name] = r
	w.mu.Unlock()
	go func() {
		defer close(i.ended)
		defer i.cancel()
		err := s.Run(ctx)
		w.say("%s has ended: %v", i.id(), err)
	}()
	return i, nil
}

// checkWrites finds writes of the sharder to objects that are about more than the two labels (G3).
func (r *replica) checkWrites(req *http.Request, body []byte) {
	if !writes(req) || !strings.Contains(req.URL.Path, "/namespaces/"+namespace+"/") && !strings.Contains(req.URL.Path, "/namespaces/"+movable+"/") {
		return
	}
	var patch map[string]map[string]any
	ok := req.Method == http.MethodPatch && json.Unmarshal(body, &patch) == nil && len(patch) == 1
	for field, value := range patch["metadata"] {
		switch field {
		case "uid", "resourceVersion":
		case "labels":
			labels, _ := value.(map[string]any)
			for key := range labels {
				ok = ok && (key == v1alpha1.ShardLabel(ringName) || key == v1alpha1.DrainLabel(ringName))
			}
		default:
			ok = false
		}
	}
	if !ok {
		r.add("G3", "%s sends %s %s: %s", r.id(), req.Method, req.URL.Path, body)
	}
}

// admission carries requests of the API server to the replicas of the sharder.
type admission struct{ *World }

// RoundTrip implements http.RoundTripper.
func (a admission) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.reviews++
	chance := a.dice.roll("admission", a.reviews)
	c := a.admissionConditions
	var names []string
	for name := range a.replicas {
		names = append(names, name)
	}
	sort.Strings(names)
	var r *replica
	if len(names) > 0 {
		r = a.replicas[names[chance.IntN(len(names))]]
	}
	a.mu.Unlock()

	switch ended := r == nil || r.crashed.Load(); {
	case c.Refused, ended:
		return nil, errRefused
	case c.Cut:
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	select {
	case <-r.ended:
		return nil, errRefused
	default:
	}
	if conditions, _, _ := r.link.get(); conditions.Cut && (chance.IntN(2) == 0 || conditions.Paused) { // cut off on that side, too
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if err := sleep(req.Context(), between(chance, 100*time.Microsecond, time.Millisecond)+between(chance, 0, 2*c.Delay)); err != nil {
		return nil, err
	}
	if chance.Float64() < c.Loss {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	recorder := httptest.NewRecorder()
	if a.mutant.Refusing && chance.IntN(4) == 0 {
		recorder.WriteHeader(http.StatusOK)
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(req.Body).Decode(&review); err != nil {
			return nil, err
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID}
		err := json.NewEncoder(recorder).Encode(review)
		return recorder.Result(), err
	}
	r.sharder.Admission().ServeHTTP(recorder, req.WithContext(context.WithoutCancel(req.Context())))
	return recorder.Result(), nil
}
