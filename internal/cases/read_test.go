package cases

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/internal/tcpproxy"
	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/shard/lease"
	"github.com/clusterring/clusterring/pkg/sharder/labels"
	"github.com/clusterring/clusterring/pkg/sharder/table"
)

// TestUnreadable (case 14): one of the ring's two resources can neither be listed nor watched any more, for ever: its conversion
// webhook is not there. When a shard dies, the objects of the other resource go to others as ever, and another ring notices nothing.
func TestUnreadable(t *testing.T) {
	w := newWorldAlone(t, true)
	other := w.another()
	other.createRing(ownersAndChildren())
	x := other.start("x")
	other.awaitBalance("x")

	client, err := dynamic.NewForConfig(cluster.Config())
	if err != nil {
		t.Fatal(err)
	}
	stored := client.Resource(widget.GroupResource().WithVersion("v1")).Namespace(w.namespace)
	var widgets []string
	for i := range 20 {
		object := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": widget.Group + "/v1", "kind": "Widget", "metadata": map[string]any{"name": fmt.Sprint("widget-", i)},
		}}
		if _, err := stored.Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		widgets = append(widgets, object.GetName())
	}
	w.createRing(ownersAndChildren(), v1alpha1.RingResource{GroupResource: v1alpha1.GroupResource{Group: widget.Group, Resource: widget.Resource}})
	names := w.create(w.namespace, "object", 100)
	withWidgets := func(c *controller, _ *rest.Config) { c.withWidgets = true }
	a, b := w.start("a", withWidgets), w.start("b", withWidgets)
	moving := w.with(w.awaitBalance("a", "b")["b"], w.namespace, names)
	w.awaitWork(append(widgets, names...), a, b)

	w.breakConversion(client)
	forget(a, b, x)
	b.dead.Store(true)
	died := time.Now()
	w.awaitBalance("a")
	w.awaitWork(moving, a)
	if took := time.Since(died); took > leaseDuration*4/3+20*time.Second {
		t.Errorf("the objects of the other resource were worked on %s after a shard had died", took)
	} else {
		t.Logf("the objects of the other resource were worked on %s after a shard had died", took)
	}
	w.awaitWork(w.create(w.namespace, "new", 20), a)
	w.awaitCondition(labels.ConditionType, metav1.ConditionFalse, "ResourceUnreadable", widget.GroupResource().String())
	began := time.Now()
	other.awaitWork(other.create(other.namespace, "theirs", 20), x)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("objects of another ring were worked on after %s", took)
	}
	other.awaitCondition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready")
}

// breakConversion makes the API server ask a webhook that is not there for version 2 of each widget, until the test ends.
func (w *world) breakConversion(client dynamic.Interface) {
	w.Helper()
	crds := client.Resource(schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"})
	convert := func(ctx context.Context, conversion string) error {
		patch := fmt.Appendf(nil, `[{"op":"replace","path":"/spec/conversion","value":%s}]`, conversion)
		_, err := crds.Patch(ctx, widget.GroupResource().String(), types.JSONPatchType, patch, metav1.PatchOptions{})
		return err
	}
	broken := `{"strategy":"Webhook","webhook":{"conversionReviewVersions":["v1"],"clientConfig":{"url":"https://127.0.0.1:1/"}}}`
	if err := convert(w.Context(), broken); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := convert(context.Background(), `{"strategy":"None"}`); err != nil {
			w.Error(err)
		}
	})
	testenv.Poll(w, timeout, func(ctx context.Context) error {
		if _, err := client.Resource(widget).Namespace(w.namespace).List(ctx, metav1.ListOptions{}); err != nil {
			return nil
		}
		return errors.New("widgets can still be listed")
	})
}

// TestCutOff (case 24): a shard renews its Lease, and gets no answers to lists and watches. It loses its objects within a bound, gets
// none when it starts again, and a condition names it.
func TestCutOff(t *testing.T) {
	w := newWorld(t)
	w.createRing(ownersAndChildren())
	names := w.create(w.namespace, "object", 100)
	proxy := cluster.Proxy(t, 0)
	a, b := w.start("a"), w.start("b", dataThrough(proxy))
	moving := w.with(w.awaitBalance("a", "b")["b"], w.namespace, names)
	w.awaitWork(names, a, b)

	forget(a)
	proxy.Refuse()
	proxy.Cut()
	cut := time.Now()
	err := <-b.done
	b.done <- err
	if !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), "cannot list and watch") {
		t.Errorf("the shard ended with %v", err)
	}
	w.awaitBalance("a")
	w.awaitWork(moving, a)
	// Four durations, one more until the Lease has run out, and the grace.
	if took := time.Since(cut); took > 6*leaseDuration+20*time.Second {
		t.Errorf("its objects were worked on by another after %s", took)
	} else {
		t.Logf("its objects were worked on by another after %s", took)
	}
	// What the first b gave up says the same until the sharder hears that its Lease is gone.
	w.awaitCondition(table.ConditionShardsAvailable, metav1.ConditionTrue, "ShardsHeld")
	b = w.start("b", dataThrough(proxy))
	w.awaitCondition(table.ConditionShardsAvailable, metav1.ConditionFalse, "ShardUnhealthy", "b gave up its Lease: cannot list")
	if err := b.leave(); !errors.Is(err, lease.ErrLost) || !strings.Contains(err.Error(), "cannot list") {
		t.Errorf("the shard ended with %v", err)
	}
	w.awaitBalance("a")
}

// dataThrough leads all requests of a controller but those about its Lease and its ring through a proxy.
func dataThrough(proxy *tcpproxy.Proxy) option {
	return func(c *controller, config *rest.Config) {
		data := rest.CopyConfig(config)
		data.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, proxy.Addr())
		}
		through, err := rest.TransportFor(data)
		if err != nil {
			c.Fatal(err)
		}
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return splitter{next, through} })
	}
}

// A splitter splits requests between two connections.
type splitter struct{ own, data http.RoundTripper }

func (s splitter) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Path, "/leases") || strings.Contains(r.URL.Path, "/clusterrings") {
		return s.own.RoundTrip(r)
	}
	return s.data.RoundTrip(r)
}
