package sim

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
	"k8s.io/klog/v2/textlogger"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/ring"
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

	refusals  refusals
	wire      *cable
	endpoints []*endpoint // of the API servers

	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup // what ends with ctx
	keepers map[string]*keeper
	twins   int // how many there have been

	mu                  sync.Mutex
	members             map[string]bool       // the shards that there are to be
	left                map[string]ring.Slots // what others had when they ceased to be shards
	processes           map[string][]*process // those that run, of each shard that there has ever been
	replicas            map[string]*replica
	reviews             int
	admissionFaults     overlay
	admissionConditions Conditions // that count
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
	Counts
	// Flows is how many main objects have gone from one shard to another.
	Flows map[Flow]int
	// Memory is how many bytes the replicas of the sharder held in the end, if that was asked for.
	Memory int64
}

// Options say how to run a plan.
type Options struct {
	Mutant Mutant
	// Log is how many lines to keep. None are by default.
	Log int
	// Verbosity of what the processes log, if a log is kept; negative for none.
	Verbosity int
	// Memory asks for the memory of the sharder, which ends in order to be measured.
	Memory bool
}

// Run carries out the plan. It must be called within a bubble.
func Run(plan Plan, options Options) (Result, error) {
	w := &World{
		findings: &findings{began: time.Now(), limit: options.Log}, plan: plan, mutant: options.Mutant, dice: dice(plan.Seed),
		keepers: map[string]*keeper{}, members: map[string]bool{}, left: map[string]ring.Slots{}, processes: map[string][]*process{}, replicas: map[string]*replica{},
	}
	w.ledger = newLedger(w.findings, ringName)
	w.wire = newCable(plan.Late)
	logger := klog.Logger{}
	if options.Log > 0 && options.Verbosity >= 0 {
		logger = textlogger.NewLogger(textlogger.NewConfig(textlogger.Output(w.findings), textlogger.Verbosity(options.Verbosity)))
	}
	w.ctx, w.cancel = context.WithCancel(klog.NewContext(context.Background(), logger))
	var err error
	if w.server, err = simapi.New(simapi.Config{
		Replicas: plan.Servers, History: 200, Webhooks: admission{w}, Seen: func(r simapi.Resource, _ uint64, old, new map[string]any) {
			w.ledger.seen(r, old, new)
		},
	}); err != nil {
		return Result{}, err
	}
	for i := range plan.Servers {
		w.endpoints = append(w.endpoints, newEndpoint(w.server.Replica(i)))
	}
	w.user = kubernetes.NewForConfigOrDie(w.server.Config())
	err = w.play()
	var memory int64
	if err == nil && options.Memory {
		memory = w.memory()
	}
	w.cancel()
	w.running.Wait()
	w.wire.close()
	result := Result{Settled: w.settled, Virtual: time.Since(w.began), Counts: w.ledger.counts, Flows: w.ledger.flows, Memory: memory}
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
	for _, name := range []string{namespace, movable, shardNamespace, sharderNamespace, neighbour} {
		ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if name == namespace || name == movable {
			ns.Labels = map[string]string{insideLabel: "true"}
		}
		if _, err := w.user.CoreV1().Namespaces().Create(w.ctx, ns, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	if err := w.makeRing(); err != nil {
		return err
	}
	if w.plan.Neighbour {
		if err := w.makeNeighbour(); err != nil {
			return err
		}
	}
	for i := range w.plan.Replicas {
		w.keep(replicaName(i), w.startReplica)
	}
	for i := range w.plan.Shards {
		w.join(shardName(i))
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
	if err := w.heal(); err != nil {
		return err
	}
	return w.settle()
}

func (w *World) keep(name string, start func(string, int, Conditions) (*instance, error)) {
	k := &keeper{world: w, name: name, start: start}
	w.keepers[name] = k
	w.start(k.keep)
}

// isShard tells a shard that has ever run from a replica of the sharder.
func (w *World) isShard(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.processes[name]
	return ok
}

// process returns the process that holds the Lease of a shard, or another one of it. It is nil if none runs.
func (w *World) process(name string) *process {
	w.mu.Lock()
	defer w.mu.Unlock()
	var p *process
	for _, p = range w.processes[name] {
		if p.lib.Valid() {
			break
		}
	}
	return p
}

// heal ends all faults.
func (w *World) heal() error {
	w.say("=== all faults end")
	w.wire.calmDown()
	for name, k := range w.keepers {
		k.change(func(o *overlay) { *o = nil })
		if !w.isShard(name) || w.members[name] {
			k.keepDown(false)
		}
	}
	w.changeAdmission(func(o *overlay) { *o = nil })
	for i := range w.plan.Servers {
		for _, r := range simapi.Resources() {
			w.server.SetLag(i, r.GroupResource(), 0)
		}
	}
	_ = sleep(w.ctx, 3*time.Second) // until the last requests of users, and those that are late, are through
	err := w.makeRing()
	if apierrors.IsAlreadyExists(err) {
		err = nil
	}
	return errors.Join(err, w.moveNamespace(true))
}

func (w *World) changeAdmission(how func(*overlay)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	how(&w.admissionFaults)
	w.admissionConditions = w.admissionFaults.top()
}

func objectName(n int) string { return fmt.Sprintf("object-%d", n) }

// namespaceOf returns where the object is. Some are where the ring is not always.
func namespaceOf(n int) string {
	if n%4 == 3 {
		return movable
	}
	return namespace
}
