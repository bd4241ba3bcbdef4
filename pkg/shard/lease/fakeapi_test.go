package lease

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"strconv"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"k8s.io/utils/ptr"
)

// fakeAPI is an API server that knows Leases only, with the semantics that matter here: versions, conflicts, UIDs. It is a
// round tripper, so that real clients can talk to it within a bubble. Faults are for one client at a time: see client.
type fakeAPI struct {
	mu      sync.Mutex
	version int
	leases  map[string]*coordinationv1.Lease
	// written is called under the lock after each change, with the Lease as it is then (nil when deleted).
	written func(name string, lease *coordinationv1.Lease)
}

func newFakeAPI() *fakeAPI { return &fakeAPI{leases: map[string]*coordinationv1.Lease{}} }

// faults is what goes wrong between one client and the API server.
type faults struct {
	mu sync.Mutex
	// before is called with each request and after with each answer. An error, or the end of the context, is all that
	// the client hears.
	before, after func(*http.Request) error
}

func (f *faults) set(before, after func(*http.Request) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *faults) get() (before, after func(*http.Request) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.before, f.after
}

// hang is a fault: nothing comes back.
func hang(req *http.Request) error {
	<-req.Context().Done()
	return req.Context().Err()
}

// delay is a fault: it takes a while.
func delay(d time.Duration) func(*http.Request) error {
	return func(req *http.Request) error {
		select {
		case <-req.Context().Done():
			return req.Context().Err()
		case <-time.After(d):
			return nil
		}
	}
}

// refuse is a fault: the connection is refused.
func refuse(*http.Request) error { return fmt.Errorf("connection refused") }

// roundTripper returns a connection to the API with faults of its own.
func (a *fakeAPI) roundTripper() (http.RoundTripper, *faults) {
	f := &faults{}
	return roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		var body []byte
		if req.Body != nil {
			var err error
			body, err = io.ReadAll(req.Body)
			_ = req.Body.Close()
			if err != nil {
				return nil, err
			}
		}
		before, after := f.get()
		if before != nil {
			if err := before(req); err != nil {
				return nil, err
			}
		}
		if err := req.Context().Err(); err != nil {
			return nil, err
		}
		resp := a.serve(req, body)
		if after != nil {
			if err := after(req); err != nil {
				return nil, err
			}
		}
		return resp, nil
	}), f
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// client returns a real client with faults of its own.
func (a *fakeAPI) client(t testing.TB) (kubernetes.Interface, *faults) {
	t.Helper()
	rt, f := a.roundTripper()
	return clientOver(t, rt), f
}

func clientOver(t testing.TB, rt http.RoundTripper) kubernetes.Interface {
	t.Helper()
	config := &rest.Config{Host: "http://fake", QPS: -1}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	client, err := kubernetes.NewForConfigAndClient(config, &http.Client{Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (a *fakeAPI) serve(req *http.Request, body []byte) *http.Response {
	a.mu.Lock()
	defer a.mu.Unlock()
	resource := coordinationv1.Resource("leases")
	var in coordinationv1.Lease
	if req.Method == http.MethodPost || req.Method == http.MethodPut {
		if err := json.Unmarshal(body, &in); err != nil {
			return answer(req, apierrors.NewBadRequest(err.Error()))
		}
	}
	name := path.Base(req.URL.Path)
	if req.Method == http.MethodPost {
		name = in.Name
	}
	old := a.leases[name]
	switch {
	case req.Method == http.MethodPost && old != nil:
		return answer(req, apierrors.NewAlreadyExists(resource, name))
	case req.Method != http.MethodPost && old == nil:
		return answer(req, apierrors.NewNotFound(resource, name))
	case req.Method == http.MethodPut && in.ResourceVersion != old.ResourceVersion:
		return answer(req, apierrors.NewConflict(resource, name, fmt.Errorf("the object has been modified")))
	}
	switch req.Method {
	case http.MethodPost:
		in.UID = types.UID("uid-" + strconv.Itoa(a.version))
		a.put(name, &in)
	case http.MethodPut:
		in.UID = old.UID
		a.put(name, &in)
	case http.MethodDelete:
		a.put(name, nil)
		return answer(req, &metav1.Status{Status: metav1.StatusSuccess})
	}
	return answer(req, a.leases[name])
}

// put stores the Lease with a new version, or deletes it.
func (a *fakeAPI) put(name string, lease *coordinationv1.Lease) {
	a.version++
	if lease == nil {
		delete(a.leases, name)
	} else {
		lease.ResourceVersion = strconv.Itoa(a.version)
		a.leases[name] = lease
	}
	if a.written != nil {
		a.written(name, lease)
	}
}

// change changes a Lease as another client would, at once. It creates the Lease if it does not exist.
func (a *fakeAPI) change(name string, do func(*coordinationv1.Lease)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID("uid-" + strconv.Itoa(a.version))}}
	if old := a.leases[name]; old != nil {
		lease = old.DeepCopy()
	}
	do(lease)
	a.put(name, lease)
}

func (a *fakeAPI) setHolder(name, holder string) {
	a.change(name, func(l *coordinationv1.Lease) {
		l.Spec.HolderIdentity = ptr.To(holder)
		l.Spec.RenewTime = ptr.To(metav1.NowMicro())
	})
}

func (a *fakeAPI) delete(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.put(name, nil)
}

// get returns the Lease, or an empty one.
func (a *fakeAPI) get(name string) *coordinationv1.Lease {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.leases[name]; l != nil {
		return l.DeepCopy()
	}
	return &coordinationv1.Lease{}
}

func (a *fakeAPI) holder(name string) string { return ptr.Deref(a.get(name).Spec.HolderIdentity, "") }

func answer(req *http.Request, obj any) *http.Response {
	code := http.StatusOK
	if status, ok := obj.(apierrors.APIStatus); ok {
		s := status.Status()
		s.APIVersion, s.Kind = "v1", "Status"
		code, obj = int(s.Code), s
	} else if lease, ok := obj.(*coordinationv1.Lease); ok {
		lease = lease.DeepCopy()
		lease.Labels = maps.Clone(lease.Labels)
		lease.APIVersion, lease.Kind = "coordination.k8s.io/v1", "Lease"
		obj = lease
	}
	data, err := json.Marshal(obj)
	if err != nil {
		panic(err)
	}
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(data)),
	}
}

// testLease returns a Lease called "shard-a" of ring "r" with a duration of 15s, and the faults of its client.
func testLease(t testing.TB, api *fakeAPI, identity string, change ...func(*Config)) (*Lease, *faults) {
	t.Helper()
	client, f := api.client(t)
	cfg := Config{
		Client: client.CoordinationV1(), Namespace: "ns", Name: "shard-a", Identity: identity,
		Labels: map[string]string{"ring": "r"},
	}
	for _, c := range change {
		c(&cfg)
	}
	l, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l, f
}

// A run is a call of Run whose work waits for the end of its context or for finish.
type run struct {
	started, returned chan struct{}
	cancel, finish    context.CancelFunc
	work              context.Context // valid after started
	err               error           // valid after returned
	stopped           time.Time       // when the work's context ended; valid after returned
}

// start calls Run. The work ends with its context if patient is false, else with finish. It ends with the test in any case:
// what goes on renewing keeps the time of a bubble running for ever.
func start(t testing.TB, l *Lease, patient bool) *run {
	ctx, cancel := context.WithCancel(klog.NewContext(context.Background(), klog.Logger{})) // quiet
	finished, finish := context.WithCancel(context.Background())
	r := &run{started: make(chan struct{}), returned: make(chan struct{}), cancel: cancel, finish: finish}
	t.Cleanup(func() {
		cancel()
		finish()
		<-r.returned
	})
	go func() {
		defer close(r.returned)
		defer cancel()
		r.err = l.Run(ctx, func(ctx context.Context) error {
			r.work = ctx
			close(r.started)
			select {
			case <-ctx.Done():
				r.stopped = time.Now()
			case <-finished.Done():
				return nil
			}
			if patient {
				<-finished.Done()
			}
			return nil
		})
	}()
	return r
}
