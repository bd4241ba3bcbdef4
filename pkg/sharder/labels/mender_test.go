package labels

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// server is an API server with ConfigMaps in the namespace ns, of which only the label matters.
type server struct {
	metadata.ResourceInterface
	ring    *runner
	mu      sync.Mutex
	labels  map[string]string // by name
	patches atomic.Int64
	// got and patched are called when a request was carried out and its answer is still on its way.
	got, patched func(name string)
	// refuses reports whether a write to the object is refused.
	refuses    func(name string) bool
	unreadable error            // what audits get instead of the objects
	told       metav1.Condition // the last one reported
}

// withServer runs the menders of a leader in a bubble.
func withServer(t *testing.T, test func(t *testing.T, s *server)) {
	synctest.Test(t, func(t *testing.T) {
		nothing := func(string) {}
		s := &server{labels: map[string]string{}, got: nothing, patched: nothing, refuses: func(string) bool { return false }}
		inside := func(string) (inside, known bool) { return true, true }
		s.ring = newRunner(Config{
			Metadata: s, Metrics: NewMetrics(nil), Lead: true, Writers: 8, Report: func(_ *v1alpha1.ClusterRing, c metav1.Condition) { s.told = c },
		}, &snapshot.Ring{
			Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}},
			Rule:   snapshot.Rule{Main: []snapshot.Main{{Resource: configMaps}}, Inside: inside},
		}, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.mender().run(ctx) })
		defer wg.Wait()
		defer s.ring.audits.queue.ShutDown()
		defer cancel()
		test(t, s)
	})
}

func (s *server) mender() *mender { return s.ring.menders[configMaps] }

func (s *server) Resource(schema.GroupVersionResource) metadata.Getter { return s }
func (s *server) Namespace(string) metadata.ResourceInterface          { return s }

func (s *server) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*metav1.PartialObjectMetadata, error) {
	time.Sleep(time.Millisecond)
	answer := s.object(name)
	s.got(name)
	return answer, nil
}

func (s *server) Patch(_ context.Context, name string, _ types.PatchType, patch []byte, _ metav1.PatchOptions, _ ...string) (*metav1.PartialObjectMetadata, error) {
	time.Sleep(5 * time.Millisecond)
	var p metav1.PartialObjectMetadata
	if err := json.Unmarshal(patch, &p); err != nil {
		return nil, err
	}
	s.patches.Add(1)
	if s.refuses(name) {
		return nil, apierrors.NewForbidden(configMaps.GroupResource(), name, errRefused)
	}
	s.set(name, p.Labels[s.ring.label])
	answer := s.object(name)
	s.patched(name)
	return answer, nil
}

// object returns the object as it is now.
func (s *server) object(name string) *metav1.PartialObjectMetadata {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objectWith(name, s.labels[name])
}

func (s *server) objectWith(name, value string) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
	if value != "" {
		o.Labels = map[string]string{s.ring.label: value}
	}
	return o
}

func (s *server) set(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.labels[name] = value
}

// find shows the object to the menders.
func (s *server) find(name, reason string) {
	s.ring.check(context.Background(), configMaps, s.object(name), reason)
}

// wrong returns the number of objects whose label is not as it should be.
func (s *server) wrong() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, value := range s.labels {
		if value != slotOf("ns", name) {
			n++
		}
	}
	return n
}

// TestChangedDuringAttempt: a label that somebody changes while the object is read or written is corrected, although the watch
// tells of it before the answer arrives.
func TestChangedDuringAttempt(t *testing.T) {
	tests := map[string]func(s *server, change func(string)){
		"a write":                       func(s *server, change func(string)) { s.patched = change },
		"a read that finds it in order": func(s *server, change func(string)) { s.got = change },
	}
	for name, arrange := range tests {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				var once sync.Once
				arrange(s, func(name string) {
					once.Do(func() {
						s.set(name, "7")
						s.find(name, reasonChanged)
					})
				})
				s.set("a", "9")
				s.find("a", reasonChanged)
				s.set("b", slotOf("ns", "b"))
				s.mender().offer(t.Context(), objectOf(configMaps, s.object("b")), task{reason: reasonChanged}, 0)
				time.Sleep(time.Second)
				if s.wrong() != 0 {
					t.Errorf("the labels are %v, want %q and %q", s.labels, slotOf("ns", "a"), slotOf("ns", "b"))
				}
			})
		})
	}
}

// TestWatchesOutOfOrder: a watch that sees a label appear hides nothing from the one that sees that it is wrong, and what was
// decided about an object does not outlive news of it.
func TestWatchesOutOfOrder(t *testing.T) {
	news := map[string]func(s *server, o object){
		"the label appears": func(s *server, o object) { s.mender().drop(o) },
		"it is found again": func(s *server, _ object) { s.find("a", reasonChanged) },
	}
	for name, arrives := range news {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				s.set("a", "7")
				o := objectOf(configMaps, s.object("a"))
				s.mender().offer(t.Context(), o, task{value: "9", decided: true, reason: reasonChanged}, time.Millisecond)
				arrives(s, o)
				time.Sleep(time.Second)
				if s.wrong() != 0 {
					t.Errorf("the label is %q, want %q", s.labels["a"], slotOf("ns", "a"))
				}
			})
		})
	}
}

// TestSettle: an audit waits for first attempts, and for no others.
func TestSettle(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		s.refuses = func(name string) bool { return strings.HasPrefix(name, "refused") }
		s.patched = func(name string) {
			if name == "contested" {
				s.set(name, "7")
			}
		}
		for range 10 { // the delay of both is above 10 s then
			for _, name := range []string{"refused", "contested"} {
				s.set(name, "7")
				s.find(name, reasonAudit)
			}
			time.Sleep(10 * time.Second)
		}
		for _, name := range []string{"refused", "contested", "new"} {
			s.set(name, "7")
			s.find(name, reasonAudit)
		}
		began := time.Now()
		s.mender().settle(t.Context(), settleTimeout)
		if took := time.Since(began); took > time.Second || s.object("new").Labels[s.ring.label] == "7" {
			t.Errorf("settled after %s, with the labels %v", took, s.labels)
		}
	})
}

// TestRefusingNamespace (case 15): what is refused for a whole namespace costs few requests, however many objects there are, and
// all are told of. An object that is not refused has its label at once. When writes work again, all are written soon.
func TestRefusingNamespace(t *testing.T) {
	for name, n := range map[string]int{"some": 30, "many": 5000} {
		t.Run(name, func(t *testing.T) {
			withServer(t, func(t *testing.T, s *server) {
				var healed atomic.Bool
				s.refuses = func(name string) bool { return strings.HasPrefix(name, "refused") && !healed.Load() }
				for i := range n {
					s.set(fmt.Sprint("refused-", i), "7")
				}
				audit := func() {
					s.mender().recount("ns")
					for i := range n {
						s.find(fmt.Sprint("refused-", i), reasonAudit)
					}
					s.mender().settle(t.Context(), settleTimeout)
				}
				audit()
				if made, most := int(s.patches.Load()), min(8*n, 2*leaveAfter); made > most {
					t.Errorf("%d requests by the first audit, want at most %d", made, most)
				}
				if told, _ := s.mender().stuck(); told < n*9/10 || told > n*11/10 {
					t.Errorf("it is told of %d objects, want about %d", told, n)
				}
				s.set("fine", "7")
				began := time.Now()
				s.find("fine", reasonBirth)
				s.mender().settle(t.Context(), settleTimeout)
				if took := time.Since(began); took > time.Second || s.wrong() > n {
					t.Errorf("an object that is not refused has its label after %s: %v", took, s.wrong() == n)
				}
				before := s.patches.Load()
				for range 12 {
					time.Sleep(5 * time.Minute)
					audit()
				}
				if made := s.patches.Load() - before; made > 30*60 {
					t.Errorf("%d requests in an hour", made)
				}
				healed.Store(true)
				for range 5 {
					time.Sleep(time.Minute)
					audit()
				}
				if wrong := s.wrong(); wrong > 0 {
					t.Errorf("%d labels are still wrong 5 minutes after writes work", wrong)
				}
			})
		})
	}
}
