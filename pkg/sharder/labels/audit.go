package labels

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/sharder/stream"
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

// runAudits audits until ctx ends.
func (r *runner) runAudits(ctx context.Context) {
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
	r.audits.run(ctx, r.cfg.AuditInterval, r.audit)
}

// audit looks at every object in a namespace, or everywhere: controlled objects first, and at main objects when the writes
// of those have been tried.
func (r *runner) audit(ctx context.Context, namespace string) {
	began := time.Now()
	for _, m := range r.menders {
		m.recount(namespace)
	}
	unread := map[resources.Resource]error{}
	for _, controlled := range r.ring.Controlled() {
		if err := r.read(ctx, controlled, namespace, reasonChild); err != nil {
			unread[controlled] = err
		}
	}
	for _, controlled := range r.ring.Controlled() {
		r.menders[controlled].settle(ctx, settleTimeout)
	}
	for _, main := range r.ring.Main {
		if time.Since(r.first) < childrenTimeout && anyUnread(main, unread) {
			continue
		}
		if err := r.read(ctx, main.Resource, namespace, reasonAudit); err != nil {
			unread[main.Resource] = err
		}
	}
	for _, main := range r.ring.Main {
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
	err := errors.Join(errs...)
	if namespace == "" || err != nil { // An audit of one namespace does not read all that the last one could not.
		r.unread.Store(&err)
	}
	if namespace == "" {
		r.cfg.Metrics.auditSeconds.WithLabelValues(r.name).Set(time.Since(began).Seconds())
		logger.V(2).Info("Audited all labels", "took", time.Since(began))
		r.audited.Store(true)
	}
	if len(unread) > 0 {
		delay := unreadRetry
		if time.Since(r.first) > childrenTimeout {
			delay = childrenTimeout
		}
		r.audits.request("", delay)
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
	if namespace != "" && !resource.Namespaced {
		return nil
	}
	count := r.cfg.Metrics.auditObjects.WithLabelValues(r.name)
	err := stream.Each(ctx, r.cfg.Metadata.Resource(resource.GVR).Namespace(namespace), func(ctx context.Context, o *metav1.PartialObjectMetadata) error {
		count.Inc()
		r.check(ctx, resource, o, reason)
		return ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("%s: %w", resource.GroupResource(), err)
	}
	return nil
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
	if err := *r.unread.Load(); err != nil {
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
	r.cfg.Report(r.ring.Object, found)
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
