package assignment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/testenv"
)

// wire loses patches of objects while it is cut: their sender hears that they failed. They can be sent again later.
type wire struct {
	next http.RoundTripper

	mu   sync.Mutex
	cut  bool
	lost []func(context.Context) (*http.Response, error)
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method != http.MethodPatch || strings.Contains(req.URL.Path, "/leases/") || !w.isCut() {
		return w.next.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = append(w.lost, func(ctx context.Context) (*http.Response, error) {
		again := req.Clone(ctx)
		again.Body = io.NopCloser(bytes.NewReader(body))
		return w.next.RoundTrip(again)
	})
	return nil, errors.New("the wire is cut")
}

func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) allLost() []func(context.Context) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lost)
}

// TestLateMove: a shard is gone, and the requests to move its objects seem to have failed. Then nobody else is in the ring any
// more, so the shard gets its Lease back with its objects, and works on them. Now the requests arrive.
func TestLateMove(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ successor, children bool }{
		"sent by the leader":        {},
		"sent by an earlier leader": {successor: true},
		"of controlled objects":     {successor: true, children: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, resource(configMaps, secrets))
			a := f.startShard("a", true)
			b := f.startShard("b", true)
			w := &wire{}
			config := unlimited(cluster.Config())
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { w.next = next; return w })
			first := f.startSharder(options{config: config})
			f.create(20, "")
			f.waitSettled(patience, "a", "b")
			if tc.children {
				f.createChildren(20, true)
			}

			w.setCut(true)
			b.leave()
			testenv.Poll(t, patience, func(context.Context) error {
				if len(w.allLost()) == 0 {
					return errors.New("nothing has been moved")
				}
				return nil
			})
			if tc.successor {
				first.stop()
			}
			a.leave()
			w.setCut(false)
			if tc.successor {
				f.startSharder(options{})
			}
			testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "b", "", "") })
			f.startShard("b", true)
			f.waitSettled(patience, "b")

			for _, send := range w.allLost() {
				resp, err := send(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusConflict {
					t.Errorf("a request to move an object came late: got status %d, want a conflict", resp.StatusCode)
				}
			}
		})
	}
}

// TestNothingIsWrittenInVain: a Lease of which nobody has moved anything is given back without a write to any object.
func TestNothingIsWrittenInVain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, resource(configMaps))
	f.startSharder(options{})
	a := f.startShard("a", true, short)
	f.create(20, "")
	f.waitSettled(patience, "a")
	versions := func() (out []string) {
		list, err := f.meta.Resource(configMaps).Namespace(f.namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			out = append(out, fmt.Sprint(o.Name, " ", o.ResourceVersion))
		}
		return out
	}
	before := versions()
	a.pause()
	testenv.Poll(t, patience, func(ctx context.Context) error { return f.leaseIs(ctx, "a", "", membership.StateDead) })
	if after := versions(); !slices.Equal(after, before) {
		t.Errorf("objects were written to:\n%v\n%v", before, after)
	}
}
