package sharder

import (
	"context"

	"github.com/clusterring/clusterring/pkg/sharder/admission"
	"github.com/clusterring/clusterring/pkg/sharder/findings"
	"github.com/clusterring/clusterring/pkg/sharder/labels"
)

// newAdmission makes the handler of admission requests.
func (r *Replica) newAdmission() (err error) {
	r.handler, err = admission.New(admission.Config{
		Rules: labels.Snapshots{Cache: r.snapshots}.Get, Metadata: r.clients.metadata,
		Called: r.calls.Called, Missed: r.missed.Post, Registerer: r.cfg.Registerer,
	})
	return err
}

// watchBirths labels what admission missed and the leader did not see.
func (r *Replica) watchBirths(ctx context.Context) error {
	c, err := labels.New(labels.Config{
		Metadata: r.clients.metadata, Rules: labels.Snapshots{Cache: r.snapshots}, Metrics: r.metrics.labels, Writers: r.cfg.Writers,
	})
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// keepLabels watches and audits all labels, in the leader.
func (r *Replica) keepLabels(clients *clients, board *findings.Board) (run func(context.Context) error, err error) {
	c, err := labels.New(labels.Config{
		Metadata: clients.metadata, Rules: labels.Snapshots{Cache: r.snapshots}, Lead: true, Namespaces: r.informers.namespaces, Board: board,
		Born: r.calls.Missed, Metrics: r.metrics.labels, AuditInterval: r.cfg.AuditInterval, Writers: r.cfg.Writers,
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		defer r.missed.Subscribe(c.Missed)()
		return c.Run(ctx)
	}, nil
}
