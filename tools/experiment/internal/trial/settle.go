package trial

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	ringclient "github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/tools/experiment/internal/cluster"
	"github.com/clusterring/clusterring/tools/experiment/internal/load"
	"github.com/clusterring/clusterring/tools/experiment/internal/measure"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
	"github.com/clusterring/clusterring/tools/experiment/internal/verify"
)

// ringTimeout is how long the ring may take until it is ready with all shards.
const ringTimeout = time.Minute

// awaitRing waits until the sharder knows of all instances.
func (t *trial) awaitRing(ctx context.Context) error {
	client, err := ringclient.NewForConfig(t.cluster.Config())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	want := len(t.fleet.Instances(scenario.Operator))
	for {
		r, err := client.ShardingV1alpha1().ClusterRings().Get(ctx, cluster.Ring, metav1.GetOptions{})
		if err == nil && int(r.Status.AvailableShards) == want && meta.IsStatusConditionTrue(r.Status.Conditions, "Ready") {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%d shards are available, conditions: %v", r.Status.AvailableShards, r.Status.Conditions)
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return fmt.Errorf("wait until the ring has %d shards: %w: %w", want, context.Cause(ctx), err)
		}
	}
}

// settle waits until all that may take a while after the load is as it should be, and returns what there is to check.
func (t *trial) settle(ctx context.Context) (verify.World, error) {
	w := verify.World{}
	began := time.Now()
	told := began
	for {
		if err := t.look(ctx, &w); err != nil {
			return w, err
		}
		checks := verify.Settled(w)
		wrong := slices.IndexFunc(checks, func(c measure.Check) bool { return !c.OK })
		if wrong < 0 {
			t.say("everything has settled %.1f s after the load", time.Since(t.run.End).Seconds())
			break
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			t.say("waiting until %s: %s", checks[wrong].Name, checks[wrong].Detail)
		}
		if time.Since(began) > t.cfg.Patience {
			t.say("not everything has settled after %s", t.cfg.Patience)
			break
		}
		if !sleep(ctx, 500*time.Millisecond) {
			return w, context.Cause(ctx)
		}
	}
	files, err := filepath.Glob(t.fleet.Record("*"))
	if err != nil {
		return w, err
	}
	if w.Work, err = record.Read(files...); err != nil {
		return w, err
	}
	w.ToTheLimit = t.cfg.Scenario.ToTheLimit
	w.Deaths, w.Pauses, w.Problems = t.fleet.Deaths(), t.fleet.Pauses(), t.fleet.Problems()
	elapsed := t.run.End.Sub(t.run.Start)
	asked := t.cfg.Scenario.Load()
	if elapsed > asked.Duration-time.Second && elapsed < asked.Duration {
		elapsed = asked.Duration
	}
	w.Asked = map[string]float64{
		load.Generator: asked.Create.Total(0, min(elapsed, asked.Duration)),
		load.Deleter:   asked.Delete.Total(0, min(elapsed, asked.Duration)),
	}
	return w, nil
}

// look asks for what changes while things settle.
func (t *trial) look(ctx context.Context, w *verify.World) (err error) {
	if w.Load, err = t.generator.status(ctx); err != nil {
		return err
	}
	w.Expected = w.Load.Websites
	if w.State, err = verify.List(ctx, t.cluster.Config(), t.namespace); err != nil {
		return err
	}
	w.Live, w.Namespace = nil, t.namespace
	if t.cfg.Setup == scenario.Singleton {
		return nil
	}
	for _, i := range t.fleet.Instances(scenario.Operator) {
		w.Live = append(w.Live, i.Name)
	}
	return nil
}
