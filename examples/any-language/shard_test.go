package anylanguage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/examples/internal/stage"
	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

// scene is a stage with the ring and its rights, and shards of both kinds to start.
type scene struct {
	*stage.Stage
	*testing.T
	kubeconfig string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	testenv.Require(t, cluster)
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("kubectl is not installed; the example is a script that needs nothing else")
	}
	s := &scene{Stage: stage.New(t, cluster, "../.."), T: t}
	s.Apply("examples/library/manifests/namespace.yaml", "examples/library/manifests/rbac.yaml",
		"examples/library/manifests/ring.yaml", "examples/any-language/rbac.yaml")
	s.kubeconfig = s.Kubeconfig(stage.Namespace, "checksums")
	return s
}

// script starts a shard in bash. Its Lease is long, because kubectl takes its time on a machine that is busy with other tests.
func (s *scene) script(name string, env ...string) *procs.Process {
	s.Helper()
	env = append([]string{"KUBECONFIG=" + s.kubeconfig, "KUBECACHEDIR=" + s.TempDir(), "LEASE_SECONDS=60"}, env...)
	return s.Start(name, "./shard.sh", []string{name}, env)
}

func (s *scene) leases() coordinationv1client.LeaseInterface {
	return s.Client.CoordinationV1().Leases(stage.Namespace)
}

func (s *scene) signal(p *procs.Process, signal syscall.Signal) {
	s.Helper()
	if err := p.Signal(signal); err != nil {
		s.Fatal(err)
	}
}

// awaitLog returns when the process has said the text.
func (s *scene) awaitLog(p *procs.Process, text string) {
	s.Helper()
	testenv.Poll(s, stage.Timeout, func(context.Context) error {
		if log := s.log(p); !strings.Contains(log, text) {
			return fmt.Errorf("%s has not said %q but:\n%s", p.Name(), text, log)
		}
		return nil
	})
}

func (s *scene) log(p *procs.Process) string {
	s.Helper()
	log, err := os.ReadFile(p.LogFile())
	if err != nil {
		s.Fatal(err)
	}
	return string(log)
}

// awaitExit returns when the process has ended with the status.
func (s *scene) awaitExit(p *procs.Process, status int) {
	s.Helper()
	select {
	case <-p.Done():
	case <-time.After(stage.Timeout):
		s.Fatalf("%s has not ended", p.Name())
	}
	if p.ExitCode() != status {
		s.Errorf("%s: %v instead of exit status %d", p.Name(), p.Err(), status)
	}
}

func TestScriptAndProgramShareTheObjects(t *testing.T) {
	s := newScene(t)
	s.Build("tools/sharder", "examples/library")
	s.StartSharder("tools/sharder")
	script := s.script("script")
	s.AwaitShards(1)
	s.Create(20)
	all := s.AwaitSettled("script")["script"]

	s.Start("program", s.Program("examples/library"), []string{"--kubeconfig=" + s.kubeconfig, "--name=program"}, nil)
	shares := s.AwaitSettled("script", "program")
	s.Change()
	if diff := cmp.Diff(shares, s.AwaitSettled("script", "program")); diff != "" {
		t.Errorf("objects have moved although nothing has happened (-before +after):\n%s", diff)
	}

	s.signal(script, syscall.SIGTERM)
	s.awaitExit(script, 0)
	if !strings.Contains(s.log(script), "has released its Lease") {
		t.Error("the script has not released its Lease")
	}
	s.Change()
	if diff := cmp.Diff(map[string][]string{"program": all}, s.AwaitSettled("program")); diff != "" {
		t.Errorf("not everything has gone to the program (-want +got):\n%s", diff)
	}
}

func TestScriptWaitsForALeaseThatIsHeld(t *testing.T) {
	s, name := newScene(t), testenv.Name(t)
	held := s.hold(name, name+"_before", time.Minute)
	script := s.script(name)
	s.staysHeld(name, name+"_before", 4*time.Second)

	held.Spec.HolderIdentity = ptr.To("")
	if _, err := s.leases().Update(t.Context(), held, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	lease := s.awaitHeld(script)
	want := map[string]string{wire.LabelRing: stage.Ring, wire.LabelState: "dead"}
	if diff := cmp.Diff(want, lease.Labels); diff != "" {
		t.Errorf("the ring's label must be set, the sharder's left alone (-want +got):\n%s", diff)
	}
	if got := ptr.Deref(lease.Spec.LeaseTransitions, 0); got != 8 {
		t.Errorf("%d transitions instead of 8", got)
	}
}

func TestScriptTakesASilentLease(t *testing.T) {
	s, name := newScene(t), testenv.Name(t)
	s.hold(name, name+"_before", 3*time.Second)
	s.awaitHeld(s.script(name))
}

func TestLostIsLost(t *testing.T) {
	holder := func(holder string) func(ctx context.Context, s *scene, lease *coordinationv1.Lease) error {
		return func(ctx context.Context, s *scene, lease *coordinationv1.Lease) error {
			lease.Spec.HolderIdentity = &holder
			_, err := s.leases().Update(ctx, lease, metav1.UpdateOptions{})
			return err
		}
	}
	for name, lose := range map[string]func(ctx context.Context, s *scene, lease *coordinationv1.Lease) error{
		"taken":    holder("somebody else"),
		"released": holder(""),
		"older": func(ctx context.Context, s *scene, lease *coordinationv1.Lease) error {
			lease.Spec.RenewTime = &metav1.MicroTime{Time: lease.Spec.RenewTime.Add(-time.Second)}
			_, err := s.leases().Update(ctx, lease, metav1.UpdateOptions{})
			return err
		},
		"deleted": func(ctx context.Context, s *scene, lease *coordinationv1.Lease) error {
			return s.leases().Delete(ctx, lease.Name, metav1.DeleteOptions{})
		},
		"restored": func(ctx context.Context, s *scene, lease *coordinationv1.Lease) error {
			if err := s.leases().Delete(ctx, lease.Name, metav1.DeleteOptions{}); err != nil {
				return err
			}
			lease.UID, lease.ResourceVersion = "", ""
			_, err := s.leases().Create(ctx, lease, metav1.CreateOptions{})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			script := s.script(testenv.Name(t))
			lease := s.awaitHeld(script)
			testenv.Poll(t, stage.Timeout, func(ctx context.Context) (err error) {
				if lease, err = s.leases().Get(ctx, lease.Name, metav1.GetOptions{}); err != nil {
					return err
				}
				return lose(ctx, s, lease) // a conflict when the script has just renewed
			})
			s.awaitExit(script, 1)
			if log := s.log(script); !strings.Contains(log, "has lost its Lease") {
				t.Errorf("it says:\n%s", log)
			}
		})
	}
}

// TestPausedScript: a script that was stopped for longer than it may act does nothing more when it goes on.
func TestPausedScript(t *testing.T) {
	s, name := newScene(t), testenv.Name(t)
	s.Create(1)
	s.label()
	script := s.script(name, "LEASE_SECONDS=30")
	lease := s.awaitHeld(script)
	s.write(ring.Table{Revision: 1, Rows: []ring.Row{{Name: name, Lease: string(lease.UID), Slots: ring.AllSlots()}}})
	s.awaitUpToDate(ring.AllSlots())

	s.signal(script, syscall.SIGSTOP)
	s.Change()
	s.staysHeld(name, ptr.Deref(lease.Spec.HolderIdentity, ""), 16*time.Second) // 15 s is how long it may act
	s.signal(script, syscall.SIGCONT)
	s.awaitExit(script, 1)
	if got := s.upToDate(); len(got) != 0 {
		t.Errorf("the script has worked although its Lease may have been taken: %v", got)
	}
}

// hold makes a Lease that somebody holds, since long ago.
func (s *scene) hold(name, holder string, duration time.Duration) *coordinationv1.Lease {
	s.Helper()
	long := metav1.NewMicroTime(time.Now().Add(-time.Hour))
	lease, err := s.leases().Create(s.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{wire.LabelState: "dead"}},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: &holder, LeaseDurationSeconds: ptr.To(int32(duration.Seconds())),
			AcquireTime: &long, RenewTime: &long, LeaseTransitions: ptr.To(int32(7)),
		},
	}, metav1.CreateOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return lease
}

// awaitHeld returns the Lease of the script when the script holds it.
func (s *scene) awaitHeld(script *procs.Process) *coordinationv1.Lease {
	s.Helper()
	s.awaitLog(script, "holds its Lease")
	lease, err := s.leases().Get(s.Context(), script.Name(), metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return lease
}

// staysHeld fails the test if the Lease gets another holder within the time.
func (s *scene) staysHeld(name, holder string, within time.Duration) {
	s.Helper()
	end := time.Now().Add(within)
	testenv.Poll(s, stage.Timeout, func(ctx context.Context) error {
		lease, err := s.leases().Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if got := ptr.Deref(lease.Spec.HolderIdentity, ""); got != holder {
			s.Fatalf("the Lease is held by %q instead of %q", got, holder)
		}
		if time.Now().Before(end) {
			return errors.New("the time is not over")
		}
		return nil
	})
}
