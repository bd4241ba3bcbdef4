package labels

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

const (
	// watchesTimeout is how long the first audit waits for the watches to begin, so that nothing falls between them.
	watchesTimeout = 5 * time.Second
	// settleTimeout is how long an audit waits for writers of controlled objects that make no attempt.
	settleTimeout = 10 * time.Second
	// childrenTimeout is how long main objects without a label wait for controlled resources that cannot be read. After
	// that they get their label without them: a resource that nobody can read must not keep its owners from being worked on.
	childrenTimeout = time.Minute
	// unreadRetry is how soon everything is audited again after a resource could not be read.
	unreadRetry = 5 * time.Second
	// reportInterval is the time between two looks at what is stuck.
	reportInterval = 2 * time.Second
)

// audits audits until ctx ends.
func (r *runner) audits(ctx context.Context) {
	timeout := time.After(watchesTimeout)
	for _, w := range r.watches {
		select {
		case <-ctx.Done():
			return
		case <-timeout:
		case <-w.begun:
			continue
		}
		break
	}
	r.first = time.Now()
	for ctx.Err() == nil {
		namespaces, after := r.schedule.take(time.Now())
		for _, namespace := range namespaces {
			r.audit(ctx, namespace)
		}
		if len(namespaces) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
		case <-r.schedule.wake:
		case <-time.After(after):
		}
	}
}

// audit looks at every object in a namespace, or everywhere: controlled objects first, and at main objects when the writes
// of those have been tried.
func (r *runner) audit(ctx context.Context, namespace string) {
	began := time.Now()
	unread := map[resources.Resource]error{}
	for _, controlled := range r.rule.Controlled() {
		if err := r.read(ctx, controlled, namespace, reasonChild); err != nil {
			unread[controlled] = err
		}
	}
	for _, controlled := range r.rule.Controlled() {
		r.menders[controlled].settle(ctx, settleTimeout)
	}
	for _, main := range r.rule.Main {
		if time.Since(r.first) < childrenTimeout && anyUnread(main, unread) {
			continue
		}
		if err := r.read(ctx, main.Resource, namespace, reasonAudit); err != nil {
			unread[main.Resource] = err
		}
	}
	for _, main := range r.rule.Main {
		r.menders[main.Resource].settle(ctx, settleTimeout)
	}
	if ctx.Err() != nil {
		return
	}
	logger := klog.FromContext(ctx)
	var errs []error
	for resource, err := range unread {
		errs = append(errs, err)
		logger.Info("Resource could not be audited, trying again", "resource", resource.GroupResource(), "namespace", namespace, "err", err)
	}
	r.shared.setUnread(r.name, errors.Join(errs...))
	took, interval := time.Since(began), r.cfg.AuditInterval
	if namespace == "" {
		r.cfg.Metrics.auditSeconds.WithLabelValues(r.name).Set(took.Seconds())
		r.schedule.done(time.Now(), took, interval)
		logger.V(2).Info("Audited all labels", "took", took)
		r.audited.Store(true)
	}
	if len(unread) > 0 {
		delay := unreadRetry
		if time.Since(r.first) > childrenTimeout {
			delay = childrenTimeout
		}
		r.schedule.request("", delay)
	}
}

func anyUnread(main snapshot.Main, unread map[resources.Resource]error) bool {
	for _, c := range main.Controlled {
		if unread[c] != nil {
			return true
		}
	}
	return false
}

// read checks every object of a resource.
func (r *runner) read(ctx context.Context, resource resources.Resource, namespace, reason string) error {
	lister := r.shared.lister
	if namespace != "" {
		if !resource.Namespaced {
			return nil
		}
		lister = lister.In(namespace)
	}
	count := r.cfg.Metrics.auditObjects.WithLabelValues(r.name)
	return lister.Each(ctx, resource.GVR, labels.Everything(), func(ctx context.Context, o *metav1.PartialObjectMetadata) error {
		count.Inc()
		r.check(ctx, resource, o, reason)
		return ctx.Err()
	})
}

// report posts what is stuck.
func (r *runner) report(ctx context.Context) {
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.post()
		}
	}
}

// ConditionType is the type of the condition that package labels finds.
const ConditionType = "ObjectsLabelled"

func (r *runner) post() {
	stuck := 0
	var example *trouble
	for _, m := range r.menders {
		n, t := m.stuck()
		stuck += n
		if t != nil && (example == nil || t.object.String() < example.object.String()) {
			example = t
		}
	}
	r.cfg.Metrics.stuck.WithLabelValues(r.name).Set(float64(stuck))
	found := metav1.Condition{Type: ConditionType, Status: metav1.ConditionTrue, Reason: "AllLabelled", Message: "no label is known to be wrong"}
	if err := r.shared.unread(r.name); err != nil {
		found.Status, found.Reason = metav1.ConditionFalse, "ResourceUnreadable"
		found.Message = fmt.Sprintf("labels could not be checked, see that the resource can be listed and watched by the sharder: %.500s", err)
	}
	if stuck > 0 {
		found.Status, found.Reason = metav1.ConditionFalse, "LabelRefused"
		found.Message = fmt.Sprintf("%s not get or keep the label of the slot, and so may not be worked on; for example %s: %s; "+
			"see which policy, webhook, controller or missing right is behind that; the sharder tries again every few minutes",
			roughly(stuck), example.object, example.problem)
	}
	if found.Status == metav1.ConditionTrue && !r.audited.Load() {
		return // Nobody has looked at what was there before, so what an earlier term found stands.
	}
	r.cfg.Report(r.name, found)
}

// roughly says how many objects do something, in words that do not change with every object.
func roughly(n int) string {
	switch {
	case n == 1:
		return "1 object does"
	case n < 10:
		return "some objects do"
	default:
		power := 10
		for power*10 <= n {
			power *= 10
		}
		return strconv.Itoa(power) + " or more objects do"
	}
}
