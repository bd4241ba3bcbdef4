package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
)

// leading is the metric that is 1 in the replica that leads.
const leading = "clusterring_sharder_leading"

// shortLease are flags for a sharder whose successor need not wait for long.
var shortLease = []string{"--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms"}

// patient is a client for processes that may hang.
var patient = &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// sharder is a running replica.
type sharder struct {
	*procs.Process
	metrics string // address
}

// startSharder starts a replica and does not wait until it is ready. All replicas of a test share a port.
func (w *world) startSharder(args ...string) *sharder {
	w.Helper()
	metrics, err := procs.FreeAddress()
	if err != nil {
		w.Fatal(err)
	}
	name := fmt.Sprintf("sharder-%d", len(w.sharders))
	p, err := w.group.Start(procs.Spec{
		Name: name, Path: sharderBinary, Env: []string{"POD_NAME=" + name},
		Args: append([]string{
			"--kubeconfig=" + w.cluster.KubeconfigPath, "--namespace=" + w.system,
			"--webhook-bind-address=" + w.webhook, "--webhook-url=https://" + w.webhook, "--permit-port-sharing",
			"--metrics-bind-address=" + metrics,
		}, args...),
		LogFile: filepath.Join(w.dir, name+".log"),
	})
	if err != nil {
		w.Fatal(err)
	}
	s := &sharder{p, metrics}
	w.sharders = append(w.sharders, s)
	return s
}

// ready is nil when the replica says that it is ready.
func (s *sharder) ready(ctx context.Context) error {
	return procs.HTTP(patient, "http://"+s.metrics+"/readyz")(ctx)
}

// waitReady waits until a replica is ready.
func (w *world) waitReady(sharders ...*sharder) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), settleTimeout)
	defer cancel()
	for _, s := range sharders {
		if err := s.Ready(ctx, s.ready); err != nil {
			w.Fatal(err)
		}
	}
}

// metric returns the sum of all series of a metric.
func (s *sharder) metric(ctx context.Context, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := patient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		series, found := strings.CutPrefix(lines.Text(), name)
		if !found || !strings.HasPrefix(series, " ") && !strings.HasPrefix(series, "{") {
			continue
		}
		value, err := strconv.ParseFloat(series[strings.LastIndex(series, " ")+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metrics of %s: %w", s.Name(), err)
		}
		sum += value
	}
	return sum, lines.Err()
}

// leader waits until exactly one of the replicas leads and the sharder's Lease says the same.
func (w *world) leader(among ...*sharder) *sharder {
	w.Helper()
	var leader *sharder
	testenv.Poll(w.T, settleTimeout, func(ctx context.Context) error {
		leader = nil
		for _, s := range among {
			leads, err := s.metric(ctx, leading)
			switch {
			case err != nil:
				return err
			case leads == 0:
			case leader != nil:
				return fmt.Errorf("%s and %s lead", leader.Name(), s.Name())
			default:
				leader = s
			}
		}
		if leader == nil {
			return errors.New("no sharder leads")
		}
		holder, err := w.holder(ctx, "sharder")
		if err == nil && !strings.HasPrefix(holder, leader.Name()+"_") {
			err = fmt.Errorf("%s leads, and the Lease is held by %q", leader.Name(), holder)
		}
		return err
	})
	return leader
}

// holder returns the holder of a Lease in the sharder's namespace.
func (w *world) holder(ctx context.Context, lease string) (string, error) {
	l, err := w.kube.CoordinationV1().Leases(w.system).Get(ctx, lease, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return ptr.Deref(l.Spec.HolderIdentity, ""), nil
}

// others returns the replicas but one.
func (w *world) others(than *sharder) []*sharder {
	var out []*sharder
	for _, s := range w.sharders {
		if s != than {
			out = append(out, s)
		}
	}
	return out
}
