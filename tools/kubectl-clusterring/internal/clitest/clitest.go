// Package clitest runs commands of the plugin on a simulated API server, or on a real one, and compares what they write.
package clitest

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/membership"
	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/cli"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// World is a simulated API server, and the options of commands that talk to it. In a bubble of testing/synctest its times
// are the same in each run.
type World struct {
	*cli.Options
	*cli.Clients
	Server *simapi.Server
	t      testing.TB
}

// New returns a world with the resources of simapi and more.
func New(t testing.TB, more ...simapi.Resource) *World {
	t.Helper()
	resources := append(simapi.Resources(), more...)
	server, err := simapi.New(simapi.Config{Resources: resources})
	if err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, r := range resources {
		scope := meta.RESTScopeRoot
		if r.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		mapper.AddSpecific(r.GroupVersion().WithKind(r.Kind), r.GroupVersionResource, r.GroupVersion().WithResource(strings.ToLower(r.Kind)), scope)
	}
	w := &World{Options: &cli.Options{Getter: getter{server.Config(), mapper}}, Server: server, t: t}
	if w.Clients, err = w.Options.Clients(); err != nil {
		t.Fatal(err)
	}
	return w
}

// Run runs a command and returns what it writes, standard error included, and its exit status.
func (w *World) Run(ctx context.Context, command func(*cli.Options) *cobra.Command, args ...string) (out string, status int) {
	var buf bytes.Buffer
	o := *w.Options
	o.IOStreams = genericiooptions.IOStreams{In: strings.NewReader(""), Out: &buf, ErrOut: &buf}
	status = cli.Run(ctx, &o, args, command)
	return buf.String(), status
}

// Ring creates a ring and writes its table, whose UID is filled in, and its conditions. The shards are in the namespace default.
func (w *World) Ring(object *v1alpha1.ClusterRing, table ring.Table, conditions ...metav1.Condition) *v1alpha1.ClusterRing {
	w.t.Helper()
	object = object.DeepCopy()
	if object.Spec.Shards.Namespace == "" {
		object.Spec.Shards.Namespace = metav1.NamespaceDefault
	}
	client := w.Rings.ShardingV1alpha1().ClusterRings()
	created, err := client.Create(w.t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	if table.Revision > 0 {
		table.Ring = string(created.UID)
		created.Status.Table = wire.WriteTable(table)
	}
	created.Status.Conditions, created.Status.ObservedGeneration = conditions, created.Generation
	if created, err = client.UpdateStatus(w.t.Context(), created, metav1.UpdateOptions{}); err != nil {
		w.t.Fatal(err)
	}
	return created
}

// Shard creates the Lease of a shard that has just renewed it, and returns its row of a table.
func (w *World) Shard(ringName, name string, slots ring.Slots, changes ...func(*coordinationv1.Lease)) ring.Row {
	w.t.Helper()
	now := metav1.NewMicroTime(time.Now())
	lease := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: name,
			Labels:      map[string]string{wire.LabelRing: ringName, wire.LabelState: string(membership.StateReady)},
			Annotations: map[string]string{wire.AnnotationHolds: wire.FormatHolds(ring.Holds{Revision: 1, Slots: slots})},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity: ptr.To(name + "_1"), LeaseDurationSeconds: ptr.To[int32](15), AcquireTime: &now, RenewTime: &now,
		},
	}
	for _, change := range changes {
		change(lease)
	}
	created, err := w.Kube.CoordinationV1().Leases(lease.Namespace).Create(w.t.Context(), lease, metav1.CreateOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return ring.Row{Name: name, Lease: string(created.UID), Slots: slots}
}

// Range returns the slots from first to last.
func Range(first, last int) (s ring.Slots) {
	for slot := first; slot <= last; slot++ {
		s = s.With(slot)
	}
	return s
}

// UID returns a UID that nothing has.
func UID(name string) types.UID { return types.UID("uid-of-" + name) }

// Golden compares text with the file testdata/NAME of the package, which -update writes.
func Golden(t testing.TB, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// getter leads to the simulated API server.
type getter struct {
	config *rest.Config
	mapper meta.RESTMapper
}

func (g getter) ToRESTConfig() (*rest.Config, error) { return g.config, nil }

// ToDiscoveryClient returns a client that is told of no groups: the mapper knows what there is.
func (g getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	config := rest.CopyConfig(g.config)
	config.Transport = nothing{}
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	return memory.NewMemCacheClient(client), nil
}

// nothing is an API server without any API.
type nothing struct{}

func (nothing) RoundTrip(r *http.Request) (*http.Response, error) {
	body := `{"kind":"APIGroupList","apiVersion":"v1","groups":[]}`
	if r.URL.Path == "/api" {
		body = `{"kind":"APIVersions","versions":[]}`
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func (g getter) ToRESTMapper() (meta.RESTMapper, error) { return g.mapper, nil }

func (g getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"simapi": {Server: g.config.Host}},
		Contexts:       map[string]*clientcmdapi.Context{"simapi": {Cluster: "simapi"}},
		CurrentContext: "simapi",
	}, &clientcmd.ConfigOverrides{})
}
