package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/sharder/config"
	"github.com/clusterring/clusterring/pkg/wire"
)

// TestWrongUsage: a sharder that is told nonsense ends at once, with a message that names the flag or the field.
func TestWrongUsage(t *testing.T) {
	testenv.Require(t, cluster)
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	configuration := func(name, fields string) string {
		return file(name, "apiVersion: "+config.APIVersion+"\nkind: "+config.Kind+"\n"+fields)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	garbage, none := file("garbage.pem", "this is no certificate\n"), filepath.Join(dir, "none")

	for name, tc := range map[string]struct {
		args     []string
		status   int
		messages []string
	}{
		"unknown flag":         {[]string{"--grace=1s"}, 2, []string{"--grace"}},
		"value of a flag":      {[]string{"--kube-api-qps=fast"}, 2, []string{"--kube-api-qps", "fast"}},
		"argument":             {[]string{"start"}, 2, []string{`"start"`}},
		"value out of range":   {[]string{"--leader-elect-renew-deadline=20s", "--concurrent-writes=0"}, 2, []string{"--leader-elect-renew-deadline", "--concurrent-writes", "labels.concurrentWrites"}},
		"no kubeconfig":        {[]string{"--kubeconfig=" + none}, 2, []string{"--kubeconfig", none}},
		"garbage kubeconfig":   {[]string{"--kubeconfig=" + garbage}, 2, []string{"--kubeconfig", garbage}},
		"not in a pod":         {[]string{"--kubeconfig="}, 2, []string{"--kubeconfig", "client.kubeconfig"}},
		"no file":              {[]string{"--config=" + none}, 2, []string{"--config", none}},
		"file of another kind": {[]string{"--config=" + file("kind.yaml", "kind: Pod\n")}, 2, []string{"--config", "kind.yaml", `"Pod"`}},
		"unknown field":        {[]string{"--config=" + configuration("unknown.yaml", "shards:\n  graze: 1s\n")}, 2, []string{"--config", "unknown.yaml", "shards.graze"}},
		"repeated field":       {[]string{"--config=" + configuration("repeated.yaml", "namespace: a\nnamespace: b\n")}, 2, []string{"repeated.yaml", "namespace"}},
		"type of a field":      {[]string{"--config=" + configuration("type.yaml", "client:\n  burst: many\n")}, 2, []string{"type.yaml", "burst"}},
		"value of a field":     {[]string{"--config=" + configuration("value.yaml", "shards:\n  grace: -1s\n")}, 2, []string{"shards.grace", "-1s"}},
		"no YAML":              {[]string{"--config=" + file("broken.yaml", "a: [\n")}, 2, []string{"--config", "broken.yaml"}},
		"certificate without key": {[]string{"--tls-cert-file=" + garbage}, 2,
			[]string{"--tls-private-key-file", "--tls-ca-file", "webhook.keyFile"}},
		"missing certificate": {[]string{"--tls-cert-file=" + none, "--tls-private-key-file=" + garbage, "--tls-ca-file=" + garbage}, 2,
			[]string{"--tls-cert-file", "webhook.certFile", none}},
		"unreadable certificate": {[]string{"--tls-cert-file=" + dir, "--tls-private-key-file=" + garbage, "--tls-ca-file=" + garbage}, 2,
			[]string{"--tls-cert-file", dir}},
		"garbage certificate": {[]string{"--tls-cert-file=" + garbage, "--tls-private-key-file=" + garbage, "--tls-ca-file=" + garbage}, 2,
			[]string{"--tls-cert-file", garbage}},
		"address":                {[]string{"--webhook-bind-address=localhost"}, 2, []string{"--webhook-bind-address", "localhost"}},
		"URL":                    {[]string{"--webhook-url=http://127.0.0.1:1"}, 2, []string{"--webhook-url", "https://"}},
		"webhook address in use": {[]string{"--webhook-bind-address=" + busy.Addr().String()}, 1, []string{"--webhook-bind-address", busy.Addr().String()}},
		"metrics address in use": {[]string{"--metrics-bind-address=" + busy.Addr().String()}, 1, []string{"--metrics-bind-address", busy.Addr().String()}},
		"address of another":     {[]string{"--webhook-bind-address=192.0.2.1:9443"}, 1, []string{"--webhook-bind-address", "192.0.2.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			args := append([]string{
				"--kubeconfig=" + cluster.KubeconfigPath, "--webhook-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0",
			}, tc.args...)
			output, err := exec.CommandContext(ctx, sharderBinary, args...).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != tc.status {
				t.Errorf("ended with %v, want status %d", err, tc.status)
			}
			for _, message := range tc.messages {
				if !strings.Contains(string(output), message) {
					t.Errorf("the output does not have %q", message)
				}
			}
			if t.Failed() {
				t.Logf("output:\n%s", output)
			}
		})
	}
}

// TestGarbageLeases: Leases that make no sense do not disturb those that do.
func TestGarbageLeases(t *testing.T) {
	w := newWorld(t)
	s := w.startSharder()
	w.waitReady(s)
	w.startShards("a", "b")
	w.waitForAdmission()
	w.settle("a", "b")
	before := w.moved(w.ring) // the second shard may have taken objects from the first

	now := metav1.NewMicroTime(time.Now())
	good := coordinationv1.LeaseSpec{HolderIdentity: ptr.To("x"), LeaseDurationSeconds: ptr.To[int32](5), AcquireTime: &now, RenewTime: &now}
	with := func(change func(*coordinationv1.LeaseSpec)) coordinationv1.LeaseSpec {
		spec := good.DeepCopy()
		change(spec)
		return *spec
	}
	long := strings.Repeat("long-", 14) // 70 characters
	long = long[:len(long)-1] + "x"
	for _, lease := range []struct {
		namespace, name, ring string
		spec                  coordinationv1.LeaseSpec
		refused               bool // by the API server
	}{
		{w.system, "no-spec", w.ring, coordinationv1.LeaseSpec{}, false},
		{w.system, "no-holder", w.ring, with(func(s *coordinationv1.LeaseSpec) { s.HolderIdentity = nil }), false},
		{w.system, "no-times", w.ring, with(func(s *coordinationv1.LeaseSpec) { s.AcquireTime, s.RenewTime = nil, nil }), false},
		{w.system, "zero", w.ring, with(func(s *coordinationv1.LeaseSpec) { s.LeaseDurationSeconds = ptr.To[int32](0) }), true},
		{w.system, "negative", w.ring, with(func(s *coordinationv1.LeaseSpec) { s.LeaseDurationSeconds = ptr.To[int32](-1) }), true},
		{w.system, "eternal", w.ring, with(func(s *coordinationv1.LeaseSpec) { s.LeaseDurationSeconds = ptr.To[int32](math.MaxInt32) }), false},
		{w.system, "huge", w.ring, with(func(s *coordinationv1.LeaseSpec) { s.HolderIdentity = ptr.To(strings.Repeat("x", 1<<20)) }), false},
		{w.system, long, w.ring, good, false},
		{w.system, "lost", "no-such-ring", good, false},
		{w.system, "nowhere", "", good, false},
		{w.namespace, "a", w.ring, good, false},
	} {
		_, err := w.kube.CoordinationV1().Leases(lease.namespace).Create(t.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: lease.name, Labels: map[string]string{wire.LabelRing: lease.ring}}, Spec: lease.spec,
		}, metav1.CreateOptions{})
		if refused := apierrors.IsInvalid(err); refused != lease.refused || err != nil && !refused {
			t.Errorf("create Lease %s: %v, want it refused: %t", lease.name, err, lease.refused)
		}
	}

	wants := []string{"eternal", "huge", long}
	testenv.Poll(t, settleTimeout, func(ctx context.Context) error {
		ring, err := w.rings.ShardingV1alpha1().ClusterRings().Get(ctx, w.ring, metav1.GetOptions{})
		if err != nil {
			return err
		}
		condition := meta.FindStatusCondition(ring.Status.Conditions, "LeasesAccepted")
		if condition == nil || condition.Status != metav1.ConditionFalse {
			return fmt.Errorf("condition: %v", condition)
		}
		for _, want := range wants {
			if !strings.Contains(condition.Message, want) {
				return fmt.Errorf("the condition does not name %q: %s", want, condition.Message)
			}
		}
		return nil
	})
	w.bornWithSlots(w.create("garbage", 60, 4))
	if n := w.moved(w.ring) - before; n > 0 {
		t.Errorf("%d slots have moved", n)
	}
	w.checkAll("a", "b")
	w.stillRunning()
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), long); n > 3 {
		t.Errorf("the log tells %d times of a Lease that does not count", n)
	}
}
