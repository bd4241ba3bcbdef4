package resources

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
)

// apiServer answers discovery requests for paths with what is in answers, or with a status.
type apiServer struct {
	mu       sync.Mutex
	answers  map[string]any
	status   map[string]int
	requests atomic.Int64
}

func (s *apiServer) set(path string, answer any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = answer
}

func (s *apiServer) fail(path string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[path] = status
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	answer, ok := s.answers[r.URL.Path]
	switch status := s.status[r.URL.Path]; {
	case status != 0:
		http.Error(w, "broken", status)
	case !ok || answer == nil:
		http.NotFound(w, r)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}
}

func group(name, preferred string, versions ...string) metav1.APIGroup {
	g := metav1.APIGroup{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIGroup"}, Name: name}
	for _, v := range versions {
		served := metav1.GroupVersionForDiscovery{GroupVersion: name + "/" + v, Version: v}
		g.Versions = append(g.Versions, served)
		if v == preferred {
			g.PreferredVersion = served
		}
	}
	return g
}

var allVerbs = metav1.Verbs{"create", "delete", "get", "list", "patch", "update", "watch"}

// RoundTrip answers a request without a network, so that it takes no time in a bubble.
func (s *apiServer) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}

func list(groupVersion string, resources ...metav1.APIResource) metav1.APIResourceList {
	return metav1.APIResourceList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "APIResourceList"}, GroupVersion: groupVersion, APIResources: resources}
}

func newAPIServer(t *testing.T) (*apiServer, *discovery.DiscoveryClient) {
	t.Helper()
	s := &apiServer{status: map[string]int{}, answers: map[string]any{
		"/api/v1": list("v1",
			metav1.APIResource{Name: "pods/log", Kind: "Pod", Namespaced: true, Verbs: metav1.Verbs{"get"}},
			metav1.APIResource{Name: "secrets", Kind: "Secret", Namespaced: true, Verbs: allVerbs},
			metav1.APIResource{Name: "namespaces", Kind: "Namespace", Verbs: allVerbs},
			metav1.APIResource{Name: "bindings", Kind: "Binding", Namespaced: true, Verbs: metav1.Verbs{"create"}},
		),
		"/apis/example.com":          group("example.com", "v2", "v1beta1", "v1", "v2"),
		"/apis/example.com/v2":       list("example.com/v2", metav1.APIResource{Name: "foos", Kind: "Foo", Namespaced: true, Verbs: allVerbs}),
		"/apis/example.com/v1":       list("example.com/v1", metav1.APIResource{Name: "foos", Kind: "Foo", Namespaced: true, Verbs: allVerbs}),
		"/apis/example.com/v1beta1":  list("example.com/v1beta1", metav1.APIResource{Name: "olds", Kind: "Old", Verbs: allVerbs}),
		"/apis/down.example.com":     group("down.example.com", "v1", "v1"),
		"/apis/vanished.example.com": group("vanished.example.com", "v1", "v1"),
	}}
	s.fail("/apis/down.example.com/v1", http.StatusServiceUnavailable)
	client, err := discovery.NewDiscoveryClientForConfig(&rest.Config{Host: "http://server", Transport: s, QPS: -1})
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

func TestLookup(t *testing.T) {
	_, client := newAPIServer(t)
	tests := map[string]struct {
		resource schema.GroupResource
		want     Resource
		err      string
		unknown  bool
	}{
		"core group": {
			resource: schema.GroupResource{Resource: "secrets"},
			want:     Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, Kind: "Secret", Namespaced: true},
		},
		"cluster-scoped": {
			resource: schema.GroupResource{Resource: "namespaces"},
			want:     Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, Kind: "Namespace"},
		},
		"preferred version": {
			resource: schema.GroupResource{Group: "example.com", Resource: "foos"},
			want:     Resource{GVR: schema.GroupVersionResource{Group: "example.com", Version: "v2", Resource: "foos"}, Kind: "Foo", Namespaced: true},
		},
		"not in the preferred version": {
			resource: schema.GroupResource{Group: "example.com", Resource: "olds"},
			want:     Resource{GVR: schema.GroupVersionResource{Group: "example.com", Version: "v1beta1", Resource: "olds"}, Kind: "Old"},
		},
		"no such resource": {
			resource: schema.GroupResource{Group: "example.com", Resource: "bars"}, unknown: true,
			err: "resource bars.example.com is not served by the API server",
		},
		"no such group": {
			resource: schema.GroupResource{Group: "none.example.com", Resource: "bars"}, unknown: true,
			err: "resource bars.none.example.com is not served by the API server: there is no such API group",
		},
		"version that went away": {
			resource: schema.GroupResource{Group: "vanished.example.com", Resource: "bars"}, unknown: true,
			err: "resource bars.vanished.example.com is not served by the API server",
		},
		"can't be listed": {
			resource: schema.GroupResource{Resource: "bindings"}, unknown: true,
			err: `resource bindings can't be sharded: the API server offers no "list" for it`,
		},
		"no answer": {
			resource: schema.GroupResource{Group: "down.example.com", Resource: "bars"},
			err:      "no answer yet: look up resources of down.example.com/v1: the server is currently unable to handle the request",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := New(Config{Client: client.RESTClient()})
			if err != nil {
				t.Fatal(err)
			}
			run(t, r)
			got, err := lookedUp(t, r, tt.resource)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(tt.err, message); diff != "" {
				t.Error(diff)
			}
			if IsUnknown(err) != tt.unknown {
				t.Errorf("IsUnknown is %v", IsUnknown(err))
			}
		})
	}
}

// lookedUp waits for the first lookup of a resource.
func lookedUp(t *testing.T, r *Resolver, gr schema.GroupResource) (Resource, error) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(time.Millisecond) {
		got, err := r.Resolve(gr)
		if !errors.Is(err, ErrNotLookedUp) {
			return got, err
		}
		if time.Now().After(deadline) {
			t.Fatal("timed out")
		}
	}
}

// run runs the Resolver until the test ends.
func run(t *testing.T, r *Resolver) {
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestRun follows a resource that appears, can't be looked up for a while, and goes away.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, client := newAPIServer(t)
		r, err := New(Config{Client: client.RESTClient()})
		if err != nil {
			t.Fatal(err)
		}
		var changes atomic.Int64
		r.Subscribe(func() { changes.Add(1) })
		run(t, r)
		bars := schema.GroupResource{Group: "example.com", Resource: "bars"}
		// after lets time pass, and says whether the resource is there then, and how many changes and requests there were.
		after := func(d time.Duration) (served bool, told, requests int64) {
			changes.Store(0)
			before := server.requests.Load()
			time.Sleep(d)
			synctest.Wait()
			_, err := r.Resolve(bars)
			return err == nil, changes.Load(), server.requests.Load() - before
		}
		if _, err := r.Resolve(bars); !errors.Is(err, ErrNotLookedUp) {
			t.Errorf("at first: %v", err)
		}
		if served, told, _ := after(time.Second); served || told != 1 {
			t.Errorf("not served: served %v, told %d", served, told)
		}
		if served, told, requests := after(time.Second); served || told != 0 || requests != 0 {
			t.Errorf("known to be unknown: served %v, told %d, %d requests", served, told, requests)
		}
		server.set("/apis/example.com/v1", list("example.com/v1", metav1.APIResource{Name: "bars", Kind: "Bar", Verbs: allVerbs}))
		if served, told, _ := after(retryInterval); !served || told != 1 {
			t.Errorf("appeared: served %v, told %d", served, told)
		}
		server.fail("/apis/example.com", http.StatusServiceUnavailable)
		if served, told, requests := after(2 * refreshInterval); !served || told != 0 || requests < 3 {
			t.Errorf("can't be looked up: served %v, told %d, %d requests", served, told, requests)
		}
		server.fail("/apis/example.com", 0)
		server.set("/apis/example.com/v1", list("example.com/v1"))
		if served, told, _ := after(2 * refreshInterval); served || told != 1 {
			t.Errorf("gone: served %v, told %d", served, told)
		}
		r.Retain(nil)
		before := server.requests.Load()
		time.Sleep(10 * refreshInterval)
		if got := server.requests.Load(); got != before {
			t.Errorf("%d requests for a resource that nobody wants any more", got-before)
		}
	})
}

// TestPending: the first answer is waited for, but not for ever, and what was answered once is not pending again.
func TestPending(t *testing.T) {
	foos := schema.GroupResource{Group: "example.com", Resource: "foos"}
	bars := schema.GroupResource{Group: "example.com", Resource: "bars"}
	type step struct {
		after            time.Duration
		down             bool
		pending, unknown bool
		told             bool // of a change
	}
	tests := map[string]struct {
		resource schema.GroupResource
		steps    []step
	}{
		"an answer in time": {foos, []step{
			{down: true, pending: true, told: true}, {after: 29 * time.Second, down: true, pending: true}, {told: true}}},
		"too late": {foos, []step{
			{down: true, pending: true, told: true}, {after: 30 * time.Second, down: true, told: true}, {after: time.Second, down: true}, {told: true}}},
		"known before":   {foos, []step{{told: true}, {after: time.Second, down: true}}},
		"unknown before": {bars, []step{{unknown: true, told: true}, {after: time.Second, down: true, told: true}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, client := newAPIServer(t)
				r, err := New(Config{Client: client.RESTClient()})
				if err != nil {
					t.Fatal(err)
				}
				told := false
				r.Subscribe(func() { told = true })
				r.entries[tt.resource] = &entry{err: ErrNotLookedUp, asked: time.Now()}
				for i, s := range tt.steps {
					time.Sleep(s.after)
					status := 0
					if s.down {
						status = http.StatusServiceUnavailable
					}
					server.fail("/apis/example.com", status)
					told = false
					r.refresh(t.Context(), tt.resource)
					_, err := r.Resolve(tt.resource)
					got := step{after: s.after, down: s.down, pending: IsPending(err), unknown: IsUnknown(err), told: told}
					if got != s {
						t.Errorf("step %d: %+v (%v), want %+v", i, got, err, s)
					}
				}
				run(t, r) // ends the queue with the test
			})
		})
	}
}
