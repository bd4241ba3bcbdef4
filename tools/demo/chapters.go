package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	ringclient "github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/manifests"
	"github.com/clusterring/clusterring/internal/procs"
	fooclient "github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

// chapter is a part of the story. text says what will be seen.
type chapter struct {
	title, text string
	play        func(ctx context.Context, d *demo) error
}

// chapters are told in this order.
var chapters = []chapter{
	{
		"A control plane", `etcd, kube-apiserver and kube-controller-manager, as separate processes on this machine. The
		manifests that users apply are applied; the sharder and the shards get service accounts with the rights in them and no others.`,
		controlPlane,
	},
	{
		"Two sharders, three shards", `Every replica of the sharder answers admission requests, one of them leads: it keeps the table
		that says which shard has which of 1024 slots. The shards are three processes of an ordinary controller that makes a Deployment
		of every Foo.`,
		start,
	},
	{
		"Foos are created", `Each gets a label with its slot, a hash of its name, while it is created. From now on some Foo
		is edited every moment, so that there is always work to do, also on what is just being moved.`,
		createFoos,
	},
	{
		"A shard joins", `A fourth of the slots goes to it, after a moment in which an older shard might leave. The others are asked for
		these slots; each gives them up when it has finished what it was doing there. No object is written.`,
		join,
	},
	{
		"A shard leaves", `It gets SIGTERM, finishes its work, releases its Lease and exits. Its slots go to the others.`,
		leave,
	},
	{
		"A shard crashes", `kill -9. Nobody is told: its Lease has to run out before anyone may touch its Foos. The sharder then deletes
		the Lease, and one write of the table gives its slots away.`,
		crash,
	},
	{
		"A rolling update", `Each shard is replaced as a Deployment does it: a new one is started, and when it is ready an old one
		ends. The newcomer gets what the old one had, so each Foo changes hands once.`,
		rollingUpdate,
	},
	{
		"Somebody tampers", `While a shard joins, Foos are replaced by manifests without labels, relabelled, stripped, deleted and
		restored with the labels of others. A label only hides an object until it is corrected; who works on it is in the table.`,
		tampering,
	},
	{
		"The leading sharder crashes", `kill -9 again, while Foos are created. The other replica goes on answering admission
		requests, and labels those that were created in the wrong moment.`,
		leaderCrash,
	},
	{
		"No sharder at all", `All sharders are killed, and Foos are created. They must be created all the same. They wait, without a
		label, until a sharder is back; the others go on being reconciled.`,
		noSharder,
	},
}

func controlPlane(ctx context.Context, d *demo) error {
	began := time.Now()
	stop := d.out.Live(func() string { return "starting the control plane" })
	defer stop()
	if err := d.startControlPlane(ctx); err != nil {
		return err
	}
	ready := time.Since(began)
	var err error
	if d.config, err = clientcmd.BuildConfigFromFlags("", d.path("cluster", "kubeconfig")); err != nil {
		return err
	}
	d.config.QPS = -1 // what the users here do is not to be slowed down by their client
	if d.kube, err = kubernetes.NewForConfig(d.config); err != nil {
		return err
	}
	if d.foo, err = fooclient.NewForConfig(d.config); err != nil {
		return err
	}
	version, err := d.kube.Discovery().ServerVersion()
	if err != nil {
		return err
	}

	// The programs run here, not in Pods.
	keep := func(kind string) bool {
		return !slices.Contains([]string{"Deployment", "Service", "PodDisruptionBudget", "Kustomization", "Foo"}, kind)
	}
	objects, err := manifests.Read(keep, filepath.Join(d.opts.repo, "config", "namespace.yaml"), filepath.Join(d.opts.repo, "config", "crd"),
		filepath.Join(d.opts.repo, "config", "rbac"), filepath.Join(d.opts.repo, "sample-controller", "artifacts"))
	if err != nil {
		return err
	}
	if err := manifests.Apply(ctx, d.config, "demo", objects); err != nil {
		return err
	}
	for _, account := range []types.NamespacedName{{Namespace: sharderNamespace, Name: "sharder"}, {Namespace: shardNamespace, Name: "sample-controller"}} {
		if err := d.writeKubeconfig(ctx, account.Namespace, account.Name); err != nil {
			return err
		}
	}
	stop()
	d.out.Fact("Kubernetes %s was ready after %s", version.GitVersion, seconds(ready))
	d.out.Fact("%d objects of our manifests were applied; logs and data are in %s", len(objects), d.dir)
	if err := d.startCensus(ctx); err != nil {
		return err
	}
	// For two seconds after a CustomResourceDefinition was established, the API server makes whoever creates such an
	// object wait, as long. That is not to spoil the figures.
	return d.traffic.rehearse(ctx)
}

// startCensus begins to watch.
func (d *demo) startCensus(ctx context.Context) error {
	rings, err := ringclient.NewForConfig(d.config)
	if err != nil {
		return err
	}
	d.census, err = census.New(census.Config{
		Kube: d.kube, Foo: d.foo, Rings: rings, Ring: ring, SharderLease: types.NamespacedName{Namespace: sharderNamespace, Name: "sharder"},
	})
	if err != nil {
		return err
	}
	d.traffic = &traffic{client: d.foo.SamplecontrollerV1alpha1().Foos(fooNamespace)}
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.cancelBackground = cancel
	ready := make(chan struct{})
	d.background.Go(func() {
		// It fails only if a handler cannot be added to an informer that was stopped.
		_ = d.census.Run(background, func() { close(ready) })
	})
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func start(ctx context.Context, d *demo) (err error) {
	if d.webhook, err = procs.FreeAddress(); err != nil {
		return err
	}
	if err := d.hurry(ctx); err != nil {
		return err
	}
	began := time.Now()
	for _, name := range []string{"sharder-1", "sharder-2"} {
		if err := d.startSharder(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range []string{"shard-a", "shard-b", "shard-c"} {
		if err := d.startShard(name); err != nil {
			return err
		}
	}
	at, err := d.await(ctx, "waiting for the ring",
		func(s *census.State) string { return fmt.Sprintf("%d of 3 shards", s.Available) },
		func(s *census.State) bool { return s.Ready && s.Available == 3 })
	if err != nil {
		return err
	}
	leader, _, err := d.leader(ctx)
	if err != nil {
		return err
	}
	d.out.Fact("two sharders, of which %s leads; admission is served by both on %s (SO_REUSEPORT)", leader.Name(), d.webhook)
	d.out.Fact("ready with all three shards %s after the first program was started", seconds(at.Sub(began)))
	return nil
}

// hurry makes the ring wait for less than it usually would, so that nobody has to wait here.
func (d *demo) hurry(ctx context.Context) error {
	rings, err := ringclient.NewForConfig(d.config)
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"spec":{"rebalanceDelay":%q,"shards":{"maxLeaseDuration":%q}}}`, rebalanceDelay, d.opts.shardLease)
	_, err = rings.ShardingV1alpha1().ClusterRings().Patch(ctx, ring, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func createFoos(ctx context.Context, d *demo) error {
	n := d.opts.foos
	stop := d.out.Live(func() string { return fmt.Sprintf("creating Foos: %d of %d", d.traffic.created(), n) })
	defer stop()
	began := time.Now()
	births := d.traffic.create(ctx, n, 0)
	created := time.Since(began)
	stop()
	median, longest := slowest(births)
	d.out.Fact("%d created in %s by eight clients; a create took %s (median), at most %s", len(births), seconds(created), millis(median), millis(longest))
	d.out.Fact("born with the label of their slot: %d of %d", len(births)-len(unlabelled(births)), len(births))
	if err := d.awaitBirths(ctx); err != nil {
		return err
	}
	if _, err := d.settle(ctx, d.members); err != nil {
		return err
	}
	at, err := d.await(ctx, "reconciling",
		func(s *census.State) string { return fmt.Sprintf("%d to go", s.Stale()) },
		func(s *census.State) bool { return s.Stale() == 0 })
	if err != nil {
		return err
	}
	d.out.Fact("all have their Deployment, and a status that says so, after %s", seconds(at.Sub(began)))
	d.table()
	if d.opts.edits > 0 {
		background, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		d.background.Go(func() { defer close(done); d.traffic.edit(background, d.opts.edits) })
		d.stopEdits = func() { cancel(); <-done }
	}
	return nil
}
