package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
)

const (
	ring             = "foo-controller"
	sharderNamespace = "clusterring-system"
	shardNamespace   = "default"
	fooNamespace     = "default"
	rebalanceDelay   = 3 * time.Second
)

// startControlPlane starts etcd, kube-apiserver and kube-controller-manager and returns when all are ready.
func (d *demo) startControlPlane(ctx context.Context) error {
	p, err := d.controlPlane.Start(procs.Spec{
		Name: "devcluster", Path: d.program("devcluster"), LogFile: d.path("logs", "devcluster.log"),
		// There is no machine that could run Pods, so nothing needs to make them.
		Args: []string{"up", "--dir=" + d.path("cluster"), "--controller-manager-arg=--controllers=*,-replicaset-controller"},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return p.Ready(ctx, func(context.Context) error {
		if !strings.Contains(p.Tail(20), "export KUBECONFIG=") {
			return errors.New("devcluster has not printed the path of the kubeconfig")
		}
		return nil
	})
}

// writeKubeconfig writes a kubeconfig of a service account.
func (d *demo) writeKubeconfig(ctx context.Context, namespace, name string) error {
	command := exec.CommandContext(ctx, d.program("devcluster"), "kubeconfig",
		"--dir="+d.path("cluster"), "--service-account="+namespace+"/"+name, "--output="+d.kubeconfig(name))
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("kubeconfig of service account %s/%s: %w: %s", namespace, name, err, out)
	}
	return nil
}

// kubeconfig returns the path of the kubeconfig of a service account.
func (d *demo) kubeconfig(account string) string { return d.path("kubeconfig-" + account) }

// sharder is a replica of the sharder.
type sharder struct {
	*procs.Process
	address string // of its metrics and health
}

// startSharder starts a replica and returns when it is ready to answer admission requests.
func (d *demo) startSharder(ctx context.Context, name string) error {
	metrics, err := procs.FreeAddress()
	if err != nil {
		return err
	}
	p, err := d.programs.Start(procs.Spec{
		Name: name, Path: d.program("sharder"), LogFile: d.path("logs", name+".log"),
		Args: []string{
			"--kubeconfig=" + d.kubeconfig("sharder"), "--namespace=" + sharderNamespace,
			"--webhook-url=https://" + d.webhook, "--webhook-bind-address=" + d.webhook, "--permit-port-sharing",
			"--metrics-bind-address=" + metrics,
			"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms", "-v=2",
		},
	})
	if err != nil {
		return err
	}
	d.watchOver(p)
	d.sharders = append(d.sharders, sharder{p, metrics})
	ctx, cancel := context.WithTimeoutCause(ctx, d.opts.patience, fmt.Errorf("waited %v", d.opts.patience))
	defer cancel()
	stop := d.out.Live(func() string { return "waiting for " + name })
	defer stop()
	return p.Ready(ctx, procs.HTTP(d.web, "http://"+metrics+"/readyz"))
}

// startShard starts a shard of the sample-controller. It is in the ring as soon as it holds its Lease.
func (d *demo) startShard(name string) error {
	args, err := d.shardArgs(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.record(name)), 0o755); err != nil {
		return err
	}
	p, err := d.programs.Start(procs.Spec{Name: name, Path: d.program("sample-controller"), Args: args, LogFile: d.path("logs", name+".log")})
	if err != nil {
		return err
	}
	d.watchOver(p)
	d.shards[name] = p
	d.members = append(d.members, name)
	return nil
}

// shardArgs returns the arguments of a shard.
func (d *demo) shardArgs(name string) ([]string, error) {
	metrics, err := procs.FreeAddress()
	if err != nil {
		return nil, err
	}
	return []string{
		"--kubeconfig=" + d.kubeconfig("sample-controller"), "--ring=" + ring,
		"--shard-name=" + name, "--shard-namespace=" + shardNamespace, "--lease-duration=" + d.opts.shardLease.String(),
		"--record=" + d.record(name), "--work-duration=5ms",
		// What is measured is the sharding, not how clients of the API server slow themselves down.
		"--kube-api-qps=1000", "--kube-api-burst=2000", "--metrics-bind-address=" + metrics, "-v=2",
	}, nil
}

// program returns the path of one of the programs that are built with this one.
func (d *demo) program(name string) string { return filepath.Join(d.opts.bin, name) }

// record returns the path of the file in which a shard records its work.
func (d *demo) record(shard string) string { return d.path("records", shard+".jsonl") }

// leader returns the sharder that leads, and the other one. It asks them.
func (d *demo) leader(ctx context.Context) (leader, other sharder, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, d.opts.patience, fmt.Errorf("waited %v", d.opts.patience))
	defer cancel()
	for {
		leader, other = sharder{}, sharder{}
		for _, s := range d.sharders {
			switch {
			case !s.Running():
			case d.leads(ctx, s):
				leader = s
			default:
				other = s
			}
		}
		if leader.Process != nil && other.Process != nil {
			return leader, other, nil
		}
		select {
		case <-ctx.Done():
			return leader, other, fmt.Errorf("waiting for one of two sharders to lead: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// leads asks a sharder whether it leads.
func (d *demo) leads(ctx context.Context, s sharder) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.address+"/metrics", nil)
	if err != nil {
		return false
	}
	resp, err := d.web.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return err == nil && strings.Contains(string(body), "\nclusterring_sharder_leading 1\n")
}

// awaitLeader waits until another holder than the one before has the sharder's Lease.
func (d *demo) awaitLeader(ctx context.Context, before string) (time.Time, error) {
	return d.await(ctx, "waiting for the other sharder to lead",
		func(s *census.State) string { return "the Lease is held by " + s.Leader },
		func(s *census.State) bool { return s.Leader != "" && s.Leader != before })
}

// awaitLease waits until the Lease of a shard is as cond says.
func (d *demo) awaitLease(ctx context.Context, shard, what string, cond func(census.Lease) bool) (time.Time, error) {
	return d.await(ctx, "waiting for "+shard+" "+what,
		func(s *census.State) string {
			l := s.Shards[shard]
			return fmt.Sprintf("its Lease is %s, held by %q", l.State, l.Holder)
		},
		func(s *census.State) bool {
			l, ok := s.Shards[shard]
			return ok && cond(l)
		})
}

// kill ends a process with SIGKILL. It returns just before it does.
func (d *demo) kill(p *procs.Process) (time.Time, error) {
	d.expect(p, expectKilled)
	now := time.Now()
	return now, p.Kill()
}
