package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/internal/stage"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
	ringclient "github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/record"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/partition"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// The names in config/.
const (
	ringName  = "webhosting"
	namespace = "webhosting-system"
	account   = "webhosting-operator"
)

// Tests of setups work with processes that see all namespaces, and with the rights of the manifests. They are not parallel.
type company struct {
	*world
	stage      *stage.Stage
	kubeconfig string
	records    string
	operators  []*operator
}

type operator struct {
	*procs.Process
	metrics string
}

func newCompany(t *testing.T, manifests ...string) *company {
	t.Helper()
	w := newWorld(t)
	c := &company{world: w, stage: stage.New(t, cluster, "../.."), records: t.TempDir()}
	c.stage.Apply("examples/webhosting/config/namespace.yaml", "examples/webhosting/config/rbac.yaml")
	c.stage.Apply(manifests...)
	c.kubeconfig = c.stage.Kubeconfig(namespace, account)
	return c
}

// start starts an operator and waits until it is ready.
func (c *company) start(name string, args ...string) *operator {
	c.t.Helper()
	metrics, err := procs.FreeAddress()
	if err != nil {
		c.t.Fatal(err)
	}
	process := fmt.Sprintf("%s_%d", name, len(c.operators))
	p := c.stage.Start(process, c.stage.Program("examples/webhosting"), append([]string{
		"--kubeconfig=" + c.kubeconfig, "--shard-namespace=" + namespace, "--shard-name=" + name, "--ring=" + ringName, "--metrics-bind-address=" + metrics,
		"--record=" + filepath.Join(c.records, process), "--workers=4", "-v=2",
		"--lease-duration=8s", "--lease-renew-deadline=6s", "--lease-retry-period=500ms",
	}, args...), nil)
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	if err := p.Ready(ctx, procs.HTTP(http.DefaultClient, "http://"+metrics+"/readyz")); err != nil {
		c.t.Fatal(err)
	}
	o := &operator{Process: p, metrics: metrics}
	c.operators = append(c.operators, o)
	return o
}

// end ends an operator with a signal. After SIGTERM, its exit status must be 0.
func (c *company) end(o *operator, signal syscall.Signal) {
	c.t.Helper()
	if err := o.Signal(signal); err != nil {
		c.t.Fatal(err)
	}
	<-o.Done()
	if err := o.Err(); err != nil && signal == syscall.SIGTERM {
		c.t.Errorf("%s: %v", o.Name(), err)
	}
}

func (c *company) createWebsites(prefix string, n int) (names []string) {
	c.t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", prefix, i))
		c.createWebsite(names[i])
	}
	return names
}

// waitShards waits until all Websites are ready, and each is with its objects in a slot of one of the shards, none of which has
// nothing.
func (c *company) waitShards(shards ...string) {
	c.t.Helper()
	testenv.Poll(c.t, patience, func(ctx context.Context) error {
		owners, err := c.owners(ctx)
		if err != nil {
			return err
		}
		list, err := c.web.WebhostingV1alpha1().Websites(c.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		count := map[string]int{}
		for _, shard := range shards {
			count[shard] = 0
		}
		for i := range list.Items {
			website := &list.Items[i]
			shard := owners[slotOf(website)]
			if _, ok := count[shard]; !ok {
				return fmt.Errorf("%s is at shard %q", website.Name, shard)
			}
			count[shard]++
			if website.Status.Phase != v1alpha1.PhaseReady || website.Status.ObservedGeneration != website.Generation {
				return fmt.Errorf("%s at %s is not ready: %+v", website.Name, shard, website.Status)
			}
			if err := c.labelled(ctx, website); err != nil {
				return err
			}
		}
		for shard, n := range count {
			if n == 0 {
				return fmt.Errorf("shard %s has no Website: %v", shard, count)
			}
		}
		return nil
	})
}

// owners returns the shard that has each slot.
func (c *company) owners(ctx context.Context) (owners [ring.Count]string, err error) {
	rings, err := ringclient.NewForConfig(cluster.Config())
	if err != nil {
		return owners, err
	}
	object, err := rings.ShardingV1alpha1().ClusterRings().Get(ctx, ringName, metav1.GetOptions{})
	if err != nil {
		return owners, err
	}
	table, err := wire.ReadTable(object.Status.Table)
	if err != nil || table == nil || table.Founding {
		return owners, fmt.Errorf("there is no table yet: %v", err)
	}
	for _, row := range table.Rows {
		for slot := range row.Slots.All() {
			owners[slot] = row.Name
		}
	}
	return owners, nil
}

func slotOf(website *v1alpha1.Website) int {
	return ring.Slot(partition.Key(v1alpha1.SchemeGroupVersion.WithKind("Website").GroupKind(), website.Namespace, website.Name))
}

// labelled returns an error unless the Website and its objects have the label of its slot.
func (c *company) labelled(ctx context.Context, website *v1alpha1.Website) error {
	if _, err := c.children(ctx, website); err != nil {
		return err
	}
	configMap, err1 := c.kube.CoreV1().ConfigMaps(c.namespace).Get(ctx, website.Name, metav1.GetOptions{})
	service, err2 := c.kube.CoreV1().Services(c.namespace).Get(ctx, website.Name, metav1.GetOptions{})
	deployment, err3 := c.kube.AppsV1().Deployments(c.namespace).Get(ctx, website.Name, metav1.GetOptions{})
	ingress, err4 := c.kube.NetworkingV1().Ingresses(c.namespace).Get(ctx, website.Name, metav1.GetOptions{})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return err
	}
	for _, object := range []metav1.Object{website, configMap, service, deployment, ingress} {
		if got, ok := wire.Slot(object.GetLabels(), ringName); !ok || got != slotOf(website) {
			return fmt.Errorf("%T of %s has slot %d, want %d", object, website.Name, got, slotOf(website))
		}
	}
	return nil
}

// checkRecords ends all operators and fails the test if two of them ever worked on one Website at the same time.
func (c *company) checkRecords() {
	c.t.Helper()
	var files []string
	died := map[record.Worker]time.Time{}
	for _, o := range c.operators {
		if o.Running() {
			c.end(o, syscall.SIGTERM)
		}
		files = append(files, filepath.Join(c.records, o.Name()))
	}
	for i, file := range files {
		if _, err := os.Stat(file); err != nil {
			c.t.Fatalf("%s has left no record: %v", c.operators[i].Name(), err)
		}
	}
	intervals, err := record.Read(files...)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(intervals) == 0 {
		c.t.Fatal("the records are empty")
	}
	for _, i := range intervals {
		for _, o := range c.operators {
			if ended, ok := o.Ended(); ok && o.PID() == i.Worker.PID {
				died[i.Worker] = ended
			}
		}
	}
	for _, overlap := range record.Overlaps(intervals, died) {
		c.t.Error(overlap)
	}
}

// wantReleased wants nobody to hold the Lease. That of a shard is deleted by the sharder.
func (c *company) wantReleased(lease string) {
	c.t.Helper()
	got, err := c.kube.CoordinationV1().Leases(namespace).Get(c.t.Context(), lease, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if holder := ptr.Deref(got.Spec.HolderIdentity, ""); holder != "" {
		c.t.Errorf("the Lease %s is held by %q, want it to be released", lease, holder)
	}
}

// metric returns the lines of a metric of the operator.
func (c *company) metric(o *operator, name string) (lines []string) {
	c.t.Helper()
	response, err := http.Get("http://" + o.metrics + "/metrics")
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, name) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// waitElected waits until one of the replicas holds the Lease of the leader, and returns its name.
func (c *company) waitElected(among ...string) (elected string) {
	c.t.Helper()
	testenv.Poll(c.t, patience, func(ctx context.Context) error {
		lease, err := c.kube.CoordinationV1().Leases(namespace).Get(ctx, electionName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		holder := ptr.Deref(lease.Spec.HolderIdentity, "")
		elected, _, _ = strings.Cut(holder, "_")
		if !slices.Contains(among, elected) {
			return fmt.Errorf("%q is elected, none of %v", holder, among)
		}
		return nil
	})
	return elected
}

// count returns how many Websites a shard has.
func (c *company) count(shard string) (n int) {
	c.t.Helper()
	owners, err := c.owners(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	list, err := c.web.WebhostingV1alpha1().Websites(metav1.NamespaceAll).List(c.t.Context(), metav1.ListOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	for i := range list.Items {
		if owners[slotOf(&list.Items[i])] == shard {
			n++
		}
	}
	return n
}

// hurry makes a sharder that has just started wait for less before it gives out the slots.
func (c *company) hurry() {
	c.t.Helper()
	rings, err := ringclient.NewForConfig(cluster.Config())
	if err == nil {
		_, err = rings.ShardingV1alpha1().ClusterRings().Patch(c.t.Context(), ringName, types.MergePatchType,
			[]byte(`{"spec":{"rebalanceDelay":"100ms","shards":{"maxLeaseDuration":"8s"}}}`), metav1.PatchOptions{})
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// deleteRing removes what would be in the way of the next test.
func (c *company) deleteRing() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	rings, err := ringclient.NewForConfig(cluster.Config())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, err := range []error{
		rings.ShardingV1alpha1().ClusterRings().Delete(ctx, ringName, metav1.DeleteOptions{}),
		c.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().Delete(ctx, "clusterring-"+ringName, metav1.DeleteOptions{}),
	} {
		if err != nil && !apierrors.IsNotFound(err) {
			c.t.Error(err)
		}
	}
}
