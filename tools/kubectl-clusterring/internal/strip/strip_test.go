package strip_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/clitest"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/strip"
)

const count = 250 // more than two pages

// world has objects with the label of a ring that is gone.
func world(t *testing.T) *clitest.World {
	w := clitest.New(t)
	for i := range count {
		create(t, w, fmt.Sprintf("o-%03d", i), map[string]string{wire.SlotLabel("r"): "7", "other": "stays"})
	}
	create(t, w, "none", map[string]string{wire.SlotLabel("s"): "7"})
	return w
}

func create(t *testing.T, w *clitest.World, name string, labels map[string]string) {
	t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Data: map[string]string{"a": "b"}}
	if _, err := w.Kube.CoreV1().ConfigMaps(metav1.NamespaceDefault).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// labelled returns how many objects have a label.
func labelled(t *testing.T, w *clitest.World, label string) int {
	t.Helper()
	list, err := w.Kube.CoreV1().ConfigMaps("").List(context.Background(), metav1.ListOptions{LabelSelector: label})
	if err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}

func report(t *testing.T, out string) (r strip.Report) {
	t.Helper()
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// TestStrip: one label goes, at the rate that was asked for, and nothing else is changed.
func TestStrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		args := []string{"strip", "r", "--resource", "configmaps", "--rate", "10", "-o", "json"}
		out, status := w.Run(t.Context(), strip.Command, append(args, "--dry-run")...)
		want := strip.Report{Ring: "r", Label: wire.SlotLabel("r"), DryRun: true, Resources: []strip.Resource{{"configmaps", count, count}}, Failures: []strip.Failure{}}
		if diff := cmp.Diff(want, report(t, out)); diff != "" || status != 0 || labelled(t, w, wire.SlotLabel("r")) != count {
			t.Errorf("dry run: status %d, %d are labelled (-want +got):\n%s", status, labelled(t, w, wire.SlotLabel("r")), diff)
		}
		begin := time.Now()
		out, status = w.Run(t.Context(), strip.Command, args...)
		want.DryRun = false
		if diff := cmp.Diff(want, report(t, out)); diff != "" || status != 0 || labelled(t, w, wire.SlotLabel("r")) != 0 {
			t.Errorf("status %d (-want +got):\n%s", status, diff)
		}
		if took := time.Since(begin); took < (count-1)*time.Second/10 {
			t.Errorf("it took %s for %d objects at 10 a second", took, count)
		}
		if labelled(t, w, wire.SlotLabel("s")) != 1 || labelled(t, w, "other=stays") != count {
			t.Error("other labels are gone")
		}
		out, status = w.Run(t.Context(), strip.Command, args...)
		want.Resources[0] = strip.Resource{Resource: "configmaps"}
		if diff := cmp.Diff(want, report(t, out)); diff != "" || status != 0 {
			t.Errorf("again: status %d (-want +got):\n%s", status, diff)
		}
	})
}

// faulty answers some requests itself.
type faulty struct {
	http.RoundTripper
	answer func(*http.Request) *http.Response
}

func (f faulty) RoundTrip(r *http.Request) (*http.Response, error) {
	if res := f.answer(r); res != nil {
		return res, nil
	}
	return f.RoundTripper.RoundTrip(r)
}

// getter leads to a cluster that is faulty.
type getter struct {
	genericclioptions.RESTClientGetter
	answer func(*http.Request) *http.Response
}

func (g getter) ToRESTConfig() (*rest.Config, error) {
	config, err := g.RESTClientGetter.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	config = rest.CopyConfig(config)
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return faulty{rt, g.answer} })
	return config, nil
}

func refuse(message string) *http.Response {
	body := fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":%q}`, message)
	return &http.Response{
		StatusCode: http.StatusForbidden, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)),
	}
}

// TestRefused: what happens to some objects is told at the end, and the others lose their labels.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		w.Options.Getter = getter{w.Options.Getter, func(r *http.Request) *http.Response {
			if r.Method == http.MethodPatch && strings.HasSuffix(r.URL.Path, "/o-007") {
				return refuse("o-007 is licensed")
			}
			return nil
		}}
		args := []string{"strip", "r", "--resource", "configmaps"}
		out, status := w.Run(t.Context(), strip.Command, append(args, "-o", "json")...)
		want := strip.Report{
			Ring: "r", Label: wire.SlotLabel("r"), Resources: []strip.Resource{{"configmaps", count, count - 1}},
			Failures: []strip.Failure{{"configmaps", "default", "o-007", "o-007 is licensed"}},
		}
		if diff := cmp.Diff(want, report(t, out)); diff != "" || status != 1 || labelled(t, w, wire.SlotLabel("r")) != 1 {
			t.Errorf("status %d (-want +got):\n%s", status, diff)
		}
		out, status = w.Run(t.Context(), strip.Command, args...)
		if status != 1 || !strings.Contains(out, "1 keep the label:\n  configmaps default/o-007: o-007 is licensed\n") {
			t.Errorf("status %d: %s", status, out)
		}
	})
}

// TestResume: an interrupted run is continued by the next.
func TestResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world(t)
		ctx, cancel := context.WithCancel(t.Context())
		var patches atomic.Int32
		plain := w.Options.Getter
		w.Options.Getter = getter{plain, func(r *http.Request) *http.Response {
			if r.Method == http.MethodPatch && patches.Add(1) == 120 {
				cancel()
			}
			return nil
		}}
		args := []string{"strip", "r", "--resource", "configmaps", "-o", "json"}
		if out, status := w.Run(ctx, strip.Command, args...); status != 130 {
			t.Errorf("interrupted: status %d: %s", status, out)
		}
		left := labelled(t, w, wire.SlotLabel("r"))
		if left == 0 || left > count-100 {
			t.Fatalf("%d are left", left)
		}
		w.Options.Getter = plain
		out, status := w.Run(t.Context(), strip.Command, args...)
		if got := report(t, out).Resources[0]; status != 0 || got.Stripped != left || labelled(t, w, wire.SlotLabel("r")) != 0 {
			t.Errorf("status %d, %+v, want %d stripped", status, got, left)
		}
	})
}

// TestNotNow: labels stay while somebody needs them or puts them on again.
func TestNotNow(t *testing.T) {
	tests := map[string]struct {
		ring, silent, alive bool
		args                []string
		want                string // in the output
		status              int
	}{
		"ring exists": {
			ring: true, status: 1,
			want: "kubectl delete clusterring r\n  kubectl clusterring strip r --resource configmaps,secrets",
		},
		"ring exists, dry run": {ring: true, args: []string{"--dry-run"}, want: "configmaps   250"},
		"no resource":          {want: "name them with --resource", status: 1},
		"unknown resource":     {args: []string{"--resource=foos.x.io"}, want: "look up foos.x.io: no matches", status: 1},
		"shard lives":          {alive: true, args: []string{"--resource=configmaps"}, want: "the shard of Lease default/a is alive", status: 1},
		"shard is dead":        {silent: true, args: []string{"--resource=configmaps"}, want: "configmaps   250        250"},
		"rate":                 {args: []string{"--rate=0"}, want: "--rate=0: must be at least 1", status: 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := world(t)
				if tt.ring {
					object := &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}}
					object.Spec.Resources = []v1alpha1.RingResource{{
						GroupResource: v1alpha1.GroupResource{Resource: "configmaps"}, ControlledResources: []v1alpha1.GroupResource{{Resource: "secrets"}},
					}}
					w.Ring(object, ring.Table{})
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.silent || tt.alive {
					w.Shard("r", "a", ring.Slots{}, func(l *coordinationv1.Lease) { l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now().Add(time.Hour)} })
				}
				if tt.alive {
					go renew(ctx, w)
				}
				out, status := w.Run(ctx, strip.Command, append([]string{"strip", "r"}, tt.args...)...)
				if status != tt.status || !strings.Contains(out, tt.want) {
					t.Errorf("status %d: %s", status, out)
				}
				left, want := labelled(t, w, wire.SlotLabel("r")), count
				if tt.silent {
					want = 0
				}
				if left != want {
					t.Errorf("%d are labelled, want %d", left, want)
				}
			})
		})
	}
}

// renew renews the Lease a every ten seconds.
func renew(ctx context.Context, w *clitest.World) {
	leases := w.Kube.CoordinationV1().Leases(metav1.NamespaceDefault)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Second):
		}
		if l, err := leases.Get(ctx, "a", metav1.GetOptions{}); err == nil {
			l.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
			_, _ = leases.Update(ctx, l, metav1.UpdateOptions{}) // else it is silent, and the test fails
		}
	}
}
