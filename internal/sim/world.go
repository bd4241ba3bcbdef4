package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// World is one run of a plan.
type World struct {
	*findings
	ledger *ledger
	plan   Plan
	mutant Mutant
	dice   dice
	server *simapi.Server
	user   kubernetes.Interface

	ctx        context.Context
	cancel     context.CancelFunc
	running    sync.WaitGroup // what ends with ctx
	background sync.WaitGroup // requests without a sender
	keepers    map[string]*keeper

	mu                  sync.Mutex
	processes           map[string]*process // the present one of each shard
	replicas            map[string]*replica
	reviews             int
	admissionConditions Conditions
	edits               int
	settled             time.Duration
}

// Result is what came of a run.
type Result struct {
	Findings []Finding
	// Log is what happened last, if it was asked for.
	Log string
	// Settled is how long it took to get well after the faults, and Virtual the time that the run took.
	Settled, Virtual time.Duration
	// Syncs is how often a shard worked on an object, and Moves how often an object left a shard.
	Syncs, Moves int
}

// Options say how to run a plan.
type Options struct {
	Mutant Mutant
	// Log is how many lines to keep. None are by default.
	Log int
	// Verbosity of what the processes log, if a log is kept; negative for none.
	Verbosity int
}

// Run carries out the plan. It must be called within a bubble.
func Run(plan Plan, options Options) (Result, error) {
	w := &World{
		findings: &findings{began: time.Now(), limit: options.Log}, plan: plan, mutant: options.Mutant, dice: dice(plan.Seed),
		keepers: map[string]*keeper{}, processes: map[string]*process{}, replicas: map[string]*replica{},
	}
	w.ledger = newLedger(w.findings, ringName)
	logger := klog.Logger{}
	if options.Log > 0 && options.Verbosity >= 0 {
		logger = textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(w.findings), textlogger.Verbosity(options.Verbosity)))
	}
	w.ctx, w.cancel = context.WithCancel(klog.NewContext(context.Background(), logger))
	var err error
	if w.server, err = simapi.New(simapi.Config{Replicas: plan.Servers, History: 200, Webhooks: admission{w}, Seen: w.ledger.seen}); err != nil {
		return Result{}, err
	}
	w.user = kubernetes.NewForConfigOrDie(w.server.Config())
	err = w.play()
	w.cancel()
	w.running.Wait()
	w.background.Wait()
	result := Result{Settled: w.settled, Virtual: time.Since(w.began), Syncs: w.ledger.syncs, Moves: w.ledger.moves}
	result.Findings, result.Log = w.result()
	return result, err
}

// start runs f, which ends with the world.
func (w *World) start(f func() error) {
	w.running.Go(func() {
		if err := f(); err != nil {
			w.add("bug", "%v", err)
		}
	})
}

// play sets everything up, and lets the plan happen.
func (w *World) play() error {
	for _, name := range []string{namespace, shardNamespace, sharderNamespace} {
		if _, err := w.user.CoreV1().Namespaces().Create(w.ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	rings := versioned.NewForConfigOrDie(w.server.Config()).ShardingV1alpha1().ClusterRings()
	if _, err := rings.Create(w.ctx, &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: ringName},
		Spec: v1alpha1.ClusterRingSpec{
			Resources: []v1alpha1.RingResource{{
				GroupResource:       v1alpha1.GroupResource{Resource: mains.Resource},
				ControlledResources: []v1alpha1.GroupResource{{Resource: children.Resource}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}},
		},
	}, metav1.CreateOptions{}); err != nil {
		return err
	}
	for i := range w.plan.Replicas {
		w.keep(replicaName(i), w.startReplica)
	}
	for i := range w.plan.Shards {
		w.keep(shardName(i), w.startShard)
	}
	_ = sleep(w.ctx, time.Second)
	for i := range w.plan.Objects {
		w.do(Action{Kind: create, N: i})
	}
	for _, s := range w.steps() {
		_ = sleep(w.ctx, time.Until(w.began.Add(s.at)))
		w.say("=== %s", s.what)
		s.do()
	}
	w.heal()
	return w.settle()
}

func (w *World) keep(name string, start func(string, int, Conditions) (*instance, error)) {
	k := &keeper{world: w, name: name, start: start}
	w.keepers[name] = k
	w.start(k.keep)
}

// heal ends all faults.
func (w *World) heal() {
	w.say("=== all faults end")
	for _, k := range w.keepers {
		k.set(Conditions{})
		k.keepDown(false)
	}
	w.setAdmission(Conditions{})
	for i := range w.plan.Servers {
		for _, r := range simapi.Resources() {
			w.server.SetLag(i, r.GroupResource(), 0)
		}
	}
}

func (w *World) setAdmission(c Conditions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.admissionConditions = c
}

func objectName(n int) string { return fmt.Sprintf("object-%d", n) }
