package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/tcpproxy"
	"github.com/clusterring/clusterring/tools/experiment/internal/cluster"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
	"github.com/clusterring/clusterring/tools/experiment/internal/scenario"
)

const (
	readyTimeout = time.Minute
	stopGrace    = 30 * time.Second
	restartDelay = time.Second
	// sharderLatency is what the latency of sharders is at most.
	sharderLatency = 2 * time.Millisecond
)

// Config says what a fleet is like.
type Config struct {
	// Cluster is where the instances work, Installed their accounts in it. Required.
	Cluster   *cluster.Cluster
	Installed *cluster.Installed
	// Bin has the programs, Dir gets kubeconfigs, logs and records. Required.
	Bin, Dir string
	// Setup, Workers and LeaseDuration are those of the operator; 0 leaves the last two to it. The sharders elect their
	// leader with the same LeaseDuration.
	Setup         string
	Workers       int
	LeaseDuration time.Duration
	// Latency is added to each round trip of an operator to the API server. Sharders are as near to it as usual: the latency
	// is there to limit what an operator can do.
	Latency time.Duration
	// WebhookHost is where the API server reaches sharders. Default: 127.0.0.1.
	WebhookHost string
	// Verbosity is the level of the instances' logs.
	Verbosity int
	// RestartDelay is how long the restart of a process takes, StopGrace how long it may take to end. Default: 1s, 30s.
	RestartDelay, StopGrace time.Duration

	// OnTargets is told the targets to scrape whenever they change, OnEvent what happens; both one call at a time. Required.
	OnTargets func([]prom.Target)
	OnEvent   func(what string)
}

// Fleet is a set of instances. It is safe for concurrent use.
type Fleet struct {
	cfg     Config
	group   *procs.Group
	api     string // address of the API server
	webhook string // that all sharders share
	front   *tcpproxy.Proxy

	proxies    sync.WaitGroup
	endProxies context.CancelFunc
	proxying   context.Context
	desc       struct{ received, transmitted *prometheus.Desc }

	told sync.Mutex // one call of OnTargets or OnEvent at a time

	mu        sync.Mutex
	accounts  map[types.NamespacedName]*rest.Config
	started   map[string]int // instances of each component so far
	instances []*Instance    // that are to run, or have not ended yet
	all       []*Instance
	problems  []string
	pauses    map[int][]Pause // by process
}

// Pause is a time in which a process was stopped.
type Pause struct{ From, To time.Time }

// New returns a fleet without instances. It must be closed.
func New(cfg Config) (*Fleet, error) {
	cfg.WebhookHost = cmp.Or(cfg.WebhookHost, "127.0.0.1")
	cfg.RestartDelay = cmp.Or(cfg.RestartDelay, restartDelay)
	cfg.StopGrace = cmp.Or(cfg.StopGrace, stopGrace)
	api, err := cfg.Cluster.Address()
	if err != nil {
		return nil, err
	}
	f := &Fleet{
		cfg: cfg, api: api, group: procs.NewGroup(),
		accounts: map[types.NamespacedName]*rest.Config{}, started: map[string]int{}, pauses: map[int][]Pause{},
	}
	labels := []string{"component", "instance"}
	f.desc.received = prometheus.NewDesc("experiment_network_receive_bytes_total", "Bytes that an instance got from the API server.", labels, nil)
	f.desc.transmitted = prometheus.NewDesc("experiment_network_transmit_bytes_total", "Bytes that an instance sent to the API server.", labels, nil)
	f.proxying, f.endProxies = context.WithCancel(context.Background())
	for _, dir := range []string{"logs", "records"} {
		if err := os.MkdirAll(filepath.Join(cfg.Dir, dir), 0o755); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// StartSharder starts one more sharder and returns when it is ready.
func (f *Fleet) StartSharder(ctx context.Context) (*Instance, error) {
	if err := f.startFront(); err != nil {
		return nil, err
	}
	args := []string{
		"--namespace=" + f.cfg.Installed.Sharder.Namespace, "--permit-port-sharing",
		"--webhook-url=https://" + f.front.Addr(), "--webhook-bind-address=" + f.webhook,
	}
	if d := f.cfg.LeaseDuration; d > 0 {
		args = append(args, "--leader-elect-lease-duration="+d.String(), "--leader-elect-renew-deadline="+(d*2/3).String(),
			"--leader-elect-retry-period="+(d*2/15).String())
	}
	return f.launch(ctx, scenario.Sharder, "sharder", f.cfg.Installed.Sharder, args)
}

// startFront starts the proxy that stands for the Service of the sharders: the API server reaches all of them there.
func (f *Fleet) startFront() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.front != nil {
		return nil
	}
	var err error
	if f.webhook, err = procs.FreeAddress(); err != nil {
		return err
	}
	if f.front, err = tcpproxy.New(tcpproxy.Config{Target: f.webhook, Listen: net.JoinHostPort(f.cfg.WebhookHost, "0")}); err != nil {
		return err
	}
	f.run(f.front)
	return nil
}

// StartOperator starts one more instance of the operator and returns when it is ready.
func (f *Fleet) StartOperator(ctx context.Context) (*Instance, error) {
	args := []string{"--setup=" + f.cfg.Setup, "--shard-namespace=" + f.cfg.Installed.Operator.Namespace}
	if f.cfg.Workers > 0 {
		args = append(args, "--workers="+strconv.Itoa(f.cfg.Workers))
	}
	if f.cfg.LeaseDuration > 0 {
		args = append(args, "--lease-duration="+f.cfg.LeaseDuration.String())
	}
	return f.launch(ctx, scenario.Operator, "webhosting-operator", f.cfg.Installed.Operator, args)
}

// launch starts an instance of a component and returns when it is ready.
func (f *Fleet) launch(ctx context.Context, component, program string, account types.NamespacedName, args []string) (*Instance, error) {
	i, err := f.prepare(ctx, component, program, account, args)
	if err != nil {
		return nil, err
	}
	if err := i.start(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.instances, f.all = append(f.instances, i), append(f.all, i)
	f.mu.Unlock()
	f.tellTargets()
	go i.supervise()
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("waited %s", readyTimeout))
	defer cancel()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return i, i.running().Ready(ctx, procs.HTTP(client, "http://"+i.address+"/readyz"))
}

// prepare makes everything that an instance needs.
func (f *Fleet) prepare(ctx context.Context, component, program string, account types.NamespacedName, args []string) (*Instance, error) {
	config, err := f.account(ctx, account)
	if err != nil {
		return nil, err
	}
	latency := f.cfg.Latency
	if component == scenario.Sharder {
		latency = min(latency, sharderLatency)
	}
	proxy, err := tcpproxy.New(tcpproxy.Config{Target: f.api, Latency: latency / 2})
	if err != nil {
		return nil, err
	}
	f.run(proxy)
	address, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	name := fmt.Sprintf("%s-%d", component, f.started[component])
	f.started[component]++
	f.mu.Unlock()
	kubeconfig := filepath.Join(f.cfg.Dir, "kubeconfig-"+name)
	if err := f.cfg.Cluster.WriteKubeconfig(kubeconfig, config, proxy.Addr()); err != nil {
		return nil, err
	}
	args = append(args, "--kubeconfig="+kubeconfig, "--metrics-bind-address="+address, "-v="+strconv.Itoa(f.cfg.Verbosity))
	if component == scenario.Operator {
		args = append(args, "--shard-name="+name, "--record="+f.Record(name))
	}
	return &Instance{
		Name: name, Component: component, fleet: f, address: address, proxy: proxy, gone: make(chan struct{}),
		spec: procs.Spec{
			Name: name, Path: filepath.Join(f.cfg.Bin, program), Args: args, LogFile: filepath.Join(f.cfg.Dir, "logs", name+".log"),
			// As in a pod that has the downward API. With HTTP/2 all requests would share one connection.
			Env: []string{"POD_NAME=" + name, "POD_NAMESPACE=" + account.Namespace, "POD_UID=" + string(uuid.NewUUID()), "DISABLE_HTTP2=true"},
		},
	}, nil
}

// Record returns the path of the file in which an instance of the operator records its work.
func (f *Fleet) Record(name string) string { return filepath.Join(f.cfg.Dir, "records", name+".jsonl") }

// account returns the credentials of a service account, which all instances of a component share.
func (f *Fleet) account(ctx context.Context, name types.NamespacedName) (*rest.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if config, ok := f.accounts[name]; ok {
		return config, nil
	}
	config, err := f.cfg.Cluster.Account(ctx, name.Namespace, name.Name)
	if err == nil {
		f.accounts[name] = config
	}
	return config, err
}

// run runs a proxy until the fleet is closed.
func (f *Fleet) run(p *tcpproxy.Proxy) {
	f.proxies.Go(func() {
		if err := p.Run(f.proxying); err != nil {
			f.unexpected(err.Error())
		}
	})
}

// Stop ends an instance in good order. It is scraped until it has ended. That it has to be killed in the end is a problem.
func (f *Fleet) Stop(i *Instance) {
	if err := i.end(func(p *procs.Process) error { return p.Stop(f.cfg.StopGrace) }); err != nil {
		f.unexpected(err.Error())
	}
	f.remove(i)
}

// Lose ends an instance with SIGKILL, for good.
func (f *Fleet) Lose(i *Instance) error {
	defer f.remove(i)
	return i.end((*procs.Process).Kill)
}

func (f *Fleet) remove(i *Instance) {
	f.mu.Lock()
	f.instances = slices.DeleteFunc(f.instances, func(other *Instance) bool { return other == i })
	f.mu.Unlock()
	f.tellTargets()
}

// Instances returns the instances of a component that are to run, or have not ended yet, the oldest first.
func (f *Fleet) Instances(component string) []*Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	var of []*Instance
	for _, i := range f.instances {
		if i.Component == component {
			of = append(of, i)
		}
	}
	return of
}

// Close ends all instances, and returns when everything that was started has ended.
func (f *Fleet) Close() error {
	f.mu.Lock()
	instances := slices.Clone(f.instances)
	f.instances = nil
	f.mu.Unlock()
	for _, i := range instances {
		_ = i.end(func(*procs.Process) error { return nil }) // all of them together, below
	}
	err := f.group.Stop(f.cfg.StopGrace)
	f.endProxies()
	f.proxies.Wait()
	return err
}
