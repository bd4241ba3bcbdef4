package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	ringName        = "bench"
	systemNamespace = "clusterring-system"
	inRing          = "bench.clusterring.dev/in" // label of the namespaces that belong to the ring
	rebalanceDelay  = 100 * time.Millisecond
)

// bench is a control plane and what figures need of it.
type bench struct {
	options
	dir     string
	cluster *testenv.Cluster
	kube    kubernetes.Interface
	rings   versioned.Interface

	// For the figure that is being measured:
	group     *procs.Group
	namespace string
	records   string
}

func newBench(ctx context.Context, o options) (*bench, error) {
	dir, err := os.MkdirTemp("", "clusterring-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir}
	b.progress("starting a control plane; logs are in %s", dir)
	if b.cluster, err = testenv.Start(ctx, testenv.Options{}); err != nil {
		return nil, err
	}
	config := b.cluster.Config()
	if b.kube, err = kubernetes.NewForConfig(config); err != nil {
		return nil, errors.Join(err, b.close(false))
	}
	if b.rings, err = versioned.NewForConfig(config); err != nil {
		return nil, errors.Join(err, b.close(false))
	}
	return b, b.createNamespace(ctx, systemNamespace, nil)
}

func (b *bench) close(remove bool) error {
	err := b.cluster.Stop()
	if remove && err == nil {
		err = os.RemoveAll(b.dir)
	}
	return err
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// measure gives the figure a group of processes and a namespace, and cleans up after it.
func (b *bench) measure(ctx context.Context, name string, f func(context.Context, *bench) error) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.group = procs.NewGroup()
	b.namespace = "bench-" + name
	b.records = filepath.Join(b.dir, name)
	if err := os.MkdirAll(b.records, 0o755); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, b.group.Stop(5*time.Second), b.cleanUp(context.WithoutCancel(ctx)))
	}()
	if err := b.createNamespace(ctx, b.namespace, map[string]string{inRing: "true"}); err != nil {
		return err
	}
	ring := &v1alpha1.ClusterRing{
		ObjectMeta: metav1.ObjectMeta{Name: ringName},
		Spec: v1alpha1.ClusterRingSpec{
			Resources:         []v1alpha1.RingResource{{GroupResource: v1alpha1.GroupResource{Resource: "configmaps"}}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{inRing: "true"}},
			Shards: v1alpha1.ShardsSpec{
				Namespace: systemNamespace, MaxLeaseDuration: &metav1.Duration{Duration: 15 * time.Second},
			},
			RebalanceDelay: &metav1.Duration{Duration: rebalanceDelay},
		},
	}
	if _, err := b.rings.ShardingV1alpha1().ClusterRings().Create(ctx, ring, metav1.CreateOptions{}); err != nil {
		return err
	}
	return f(ctx, b)
}

func (b *bench) cleanUp(ctx context.Context) error {
	err := b.rings.ShardingV1alpha1().ClusterRings().Delete(ctx, ringName, metav1.DeleteOptions{})
	leases := b.kube.CoordinationV1().Leases(systemNamespace)
	return errors.Join(err,
		leases.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
		b.kube.CoreV1().ConfigMaps(b.namespace).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}),
		b.kube.CoreV1().Namespaces().Delete(ctx, b.namespace, metav1.DeleteOptions{}),
		// The webhook configuration goes with its ring; the next figure waits for a new one.
		poll(ctx, time.Minute, func() error {
			list, err := b.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: wire.LabelRing})
			if err == nil && len(list.Items) > 0 {
				err = errors.New("the webhook configuration is still there")
			}
			return err
		}))
}

func (b *bench) createNamespace(ctx context.Context, name string, labels map[string]string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	_, err := b.kube.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// sharder is a running replica.
type sharder struct {
	*procs.Process
	metrics string // address
}

// startSharders starts replicas that share a port, which the API server reaches by way of via if that is not empty.
func (b *bench) startSharders(ctx context.Context, n int, via func(target string) string, args ...string) ([]sharder, error) {
	webhook, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	reached := webhook
	if via != nil {
		reached = via(webhook)
	}
	var started []sharder
	for i := range n {
		metrics, err := procs.FreeAddress()
		if err != nil {
			return nil, err
		}
		p, err := b.group.Start(procs.Spec{
			Name: fmt.Sprintf("sharder-%d", i), Path: filepath.Join(b.bin, "sharder"),
			Args: append([]string{
				"--kubeconfig=" + b.cluster.KubeconfigPath, "--namespace=" + systemNamespace,
				"--webhook-bind-address=" + webhook, "--webhook-url=https://" + reached, "--permit-port-sharing",
				"--metrics-bind-address=" + metrics,
			}, args...),
			Env:     []string{fmt.Sprintf("POD_NAME=sharder-%d", i)},
			LogFile: filepath.Join(b.records, fmt.Sprintf("sharder-%d.log", i)),
		})
		if err != nil {
			return nil, err
		}
		ready, cancel := context.WithTimeout(ctx, 30*time.Second)
		err = p.Ready(ready, procs.HTTP(http.DefaultClient, "http://"+metrics+"/readyz"))
		cancel()
		if err != nil {
			return nil, err
		}
		started = append(started, sharder{p, metrics})
	}
	return started, poll(ctx, 30*time.Second, func() error {
		list, err := b.kube.AdmissionregistrationV1().MutatingWebhookConfigurations().List(ctx, metav1.ListOptions{LabelSelector: wire.LabelRing})
		if err == nil && len(list.Items) == 0 {
			err = errors.New("there is no webhook configuration")
		}
		return err
	})
}

// startShard starts one shard and waits until it holds its Lease.
func (b *bench) startShard(ctx context.Context, name string) (*procs.Process, error) {
	p, err := b.group.Start(procs.Spec{
		Name: name, Path: filepath.Join(b.bin, "bench"),
		Args: []string{
			"shard", "--kubeconfig=" + b.cluster.KubeconfigPath, "--name=" + name, "--namespace=" + systemNamespace,
			"--record=" + filepath.Join(b.records, name+".record"),
		},
		LogFile: filepath.Join(b.records, name+".log"),
	})
	if err != nil {
		return nil, err
	}
	return p, poll(ctx, 30*time.Second, func() error {
		if err := p.Err(); err != nil {
			return err
		}
		lease, err := b.kube.CoordinationV1().Leases(systemNamespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && (lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "") {
			err = fmt.Errorf("%s does not hold its Lease", name)
		}
		return err
	})
}

func (b *bench) startShards(ctx context.Context, names ...string) (map[string]*procs.Process, error) {
	started := map[string]*procs.Process{}
	for _, name := range names {
		p, err := b.startShard(ctx, name)
		if err != nil {
			return nil, err
		}
		started[name] = p
	}
	return started, nil
}

// leader returns the index of the replica that runs the controllers.
func (b *bench) leader(ctx context.Context, sharders []sharder) (int, error) {
	found := -1
	err := poll(ctx, 30*time.Second, func() error {
		lease, err := b.kube.CoordinationV1().Leases(systemNamespace).Get(ctx, "sharder", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for i := range sharders {
			if lease.Spec.HolderIdentity != nil && strings.HasPrefix(*lease.Spec.HolderIdentity, sharders[i].Name()+"_") {
				found = i
				return nil
			}
		}
		return errors.New("no sharder leads")
	})
	return found, err
}

// creates is what became of n objects that were created.
type creates struct {
	took      []time.Duration
	done      []time.Time
	unlabeled atomic.Int64 // born without a slot
}

// create creates n ConfigMaps, whose names begin with prefix, with the clients at the same time.
func create(ctx context.Context, config *rest.Config, namespace, prefix string, n, clients int) (*creates, error) {
	result := &creates{took: make([]time.Duration, n), done: make([]time.Time, n)}
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				errs[c] = err
				return
			}
			for i := c; i < n; i += clients {
				obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", prefix, i)}}
				start := time.Now()
				created, err := client.CoreV1().ConfigMaps(namespace).Create(ctx, obj, metav1.CreateOptions{})
				if err != nil {
					errs[c] = err
					return
				}
				result.done[i] = time.Now()
				result.took[i] = result.done[i].Sub(start)
				if created.Labels[wire.SlotLabel(ringName)] == "" {
					result.unlabeled.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return result, errors.Join(errs...)
}

// poll tries until it succeeds, and returns the last error when that takes too long.
func poll(ctx context.Context, timeout time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("still so after %s: %w", timeout, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// quantile returns the value below which the share q of the durations lies.
func quantile(durations []time.Duration, q float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// table prints a Markdown table.
func table(title string, header []string, rows ...[]string) {
	fmt.Printf("\n%s\n\n| %s |\n|%s\n", title, strings.Join(header, " | "), strings.Repeat(" --- |", len(header)))
	for _, row := range rows {
		fmt.Printf("| %s |\n", strings.Join(row, " | "))
	}
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// gate is a TCP proxy that can refuse connections, so that the API server does not reach the sharder.
type gate struct {
	listener net.Listener
	mu       sync.Mutex
	target   string
	shut     bool
	open     map[net.Conn]struct{}
}

func newGate() (*gate, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gate{listener: l, open: map[net.Conn]struct{}{}}
	go g.serve()
	return g, nil
}

func (g *gate) setTarget(target string) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.target = target
	return g.listener.Addr().String()
}

// setShut refuses connections and cuts those that there are, or lets them pass again.
func (g *gate) setShut(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	if shut {
		for c := range g.open {
			c.Close()
		}
	}
}

func (g *gate) serve() {
	for {
		in, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		target, shut := g.target, g.shut
		if !shut {
			g.open[in] = struct{}{}
		}
		g.mu.Unlock()
		if shut {
			in.Close()
			continue
		}
		go g.proxy(in, target)
	}
}

func (g *gate) proxy(in net.Conn, target string) {
	defer func() {
		in.Close()
		g.mu.Lock()
		delete(g.open, in)
		g.mu.Unlock()
	}()
	out, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer out.Close()
	done := make(chan struct{}, 2)
	copyTo := func(dst, src net.Conn) {
		_, _ = dst.(*net.TCPConn).ReadFrom(src)
		done <- struct{}{}
	}
	go copyTo(out, in)
	go copyTo(in, out)
	<-done
}
