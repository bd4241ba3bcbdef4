package sim

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/sharder"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/wire"
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
	cfg.Labels.AuditInterval = metav1.Duration{Duration: w.plan.AuditInterval}
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

// checkWrites finds writes of the sharder to objects that are about more than the slot label (G3).
func (r *replica) checkWrites(req *http.Request, body []byte) {
	if !writes(req) || !strings.Contains(req.URL.Path, "/namespaces/"+namespace+"/") && !strings.Contains(req.URL.Path, "/namespaces/"+movable+"/") {
		return
	}
	r.ledger.count(func(c *Counts) { c.Writes++ })
	var patch map[string]map[string]any
	ok := req.Method == http.MethodPatch && json.Unmarshal(body, &patch) == nil && len(patch) == 1
	for field, value := range patch["metadata"] {
		switch field {
		case "uid", "resourceVersion":
		case "labels":
			labels, _ := value.(map[string]any)
			for key := range labels {
				ok = ok && key == wire.SlotLabel(ringName)
			}
		default:
			ok = false
		}
	}
	if !ok {
		r.add("G3", "%s sends %s %s: %s", r.id(), req.Method, req.URL.Path, body)
	}
}
