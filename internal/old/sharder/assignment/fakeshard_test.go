package assignment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/stream"
)

// fakeShard speaks the wire contract, and nothing of the library: it holds a Lease, watches its own objects, and lets go of
// them when it is asked to. What it works on is in the ledger.
type fakeShard struct {
	f         *fixture
	name      string
	process   string
	holder    string
	duration  time.Duration
	renew     time.Duration
	skew      time.Duration // by how much its clock is wrong
	drift     time.Duration // by how much too late it takes its Lease for over, because its clock is slow
	resources []schema.GroupVersionResource

	held   chan struct{} // closed when it holds its Lease
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu sync.Mutex
	// deadline is when the Lease runs out.
	deadline time.Time
	holding  bool
	known    map[types.UID]known
	secrets  map[string]types.UID // by name
}

type known struct {
	resource schema.GroupVersionResource
	object   *metav1.PartialObjectMetadata
}

// startShard starts a shard and waits until it holds its Lease, unless wait is false.
func (f *fixture) startShard(name string, wait bool, change ...func(*fakeShard)) *fakeShard {
	f.t.Helper()
	s := &fakeShard{
		f: f, name: name, process: testenv.Name(f.t), duration: 10 * time.Second, renew: 300 * time.Millisecond,
		resources: []schema.GroupVersionResource{configMaps, secrets}, held: make(chan struct{}),
	}
	for _, c := range change {
		c(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.wg.Go(func() { s.run(ctx) })
	f.t.Cleanup(s.kill)
	if wait {
		select {
		case <-s.held:
		case <-time.After(patience):
			f.t.Fatalf("shard %s could not acquire its Lease", name)
		}
	}
	return s
}

// kill ends the shard as a crash does.
func (s *fakeShard) kill() {
	s.cancel()
	s.wg.Wait()
	s.f.ledger.releaseAll(s.name)
}

// leave ends the shard gracefully.
func (s *fakeShard) leave() {
	s.f.t.Helper()
	s.kill()
	testenv.Poll(s.f.t, patience, func(ctx context.Context) error {
		lease, err := s.f.kube.CoordinationV1().Leases(s.f.namespace).Get(ctx, s.name, metav1.GetOptions{})
		if err != nil || ptr.Deref(lease.Spec.HolderIdentity, "") != s.holder {
			return err
		}
		lease.Spec.HolderIdentity = ptr.To("")
		_, err = s.f.kube.CoordinationV1().Leases(s.f.namespace).Update(ctx, lease, metav1.UpdateOptions{})
		return err
	})
}

// pause stops the shard as SIGSTOP does. What it works on stays in the ledger until its Lease has run out, which is when its
// fence would stop it.
func (s *fakeShard) pause() {
	s.cancel()
	s.wg.Wait()
	s.mu.Lock()
	left := time.Until(s.deadline)
	s.mu.Unlock()
	timer := time.AfterFunc(left, func() { s.f.ledger.releaseAll(s.name) })
	s.f.t.Cleanup(func() { timer.Stop() })
}

// run holds the Lease and works, and begins anew as another process when it has lost the Lease.
func (s *fakeShard) run(ctx context.Context) {
	tick := time.NewTicker(s.renew)
	defer tick.Stop()
	for generation := 0; ctx.Err() == nil; generation++ {
		s.mu.Lock()
		s.holder = fmt.Sprintf("%s_%s-%d", s.name, s.process, generation)
		s.known, s.secrets, s.holding = map[types.UID]known{}, map[string]types.UID{}, false
		s.mu.Unlock()
		for s.tryHold(ctx) != nil {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		if generation == 0 {
			close(s.held)
		}
		workCtx, stop := context.WithCancel(ctx)
		var work sync.WaitGroup
		for _, r := range s.resources {
			work.Go(func() { s.watch(workCtx, r) })
		}
		err := s.renewUntilLost(ctx, tick.C)
		stop()
		work.Wait()
		if ctx.Err() == nil {
			s.f.ledger.releaseAll(s.name)
			s.f.t.Logf("shard %s has lost its Lease: %v", s.name, err)
		}
	}
}

func (s *fakeShard) renewUntilLost(ctx context.Context, tick <-chan time.Time) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick:
		}
		renewCtx, stop := context.WithDeadline(ctx, s.deadline)
		err := s.tryHold(renewCtx)
		for apierrors.IsConflict(err) {
			err = s.tryHold(renewCtx)
		}
		stop()
		if errors.Is(err, errLost) || !time.Now().Before(s.deadline) {
			return err
		}
	}
}

var errLost = errors.New("somebody else holds the Lease")

// tryHold acquires or renews the Lease.
func (s *fakeShard) tryHold(ctx context.Context) error {
	client := s.f.kube.CoordinationV1().Leases(s.f.namespace)
	began := time.Now()
	now := metav1.NewMicroTime(began.Add(s.skew))
	lease, err := client.Get(ctx, s.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if s.holding {
			return errLost
		}
		_, err = client.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: s.name, Labels: map[string]string{v1alpha1.LabelRing: s.f.ring}},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &s.holder, LeaseDurationSeconds: ptr.To(int32(s.duration / time.Second)),
				AcquireTime: &now, RenewTime: &now},
		}, metav1.CreateOptions{})
		return s.holds(began, err)
	}
	if err != nil {
		return err
	}
	switch holder := ptr.Deref(lease.Spec.HolderIdentity, ""); {
	case holder == s.holder:
	case holder == "" && !s.holding:
		lease.Spec.AcquireTime = &now
	default:
		return errLost
	}
	lease.Spec.HolderIdentity, lease.Spec.RenewTime = &s.holder, &now
	lease.Spec.LeaseDurationSeconds = ptr.To(int32(s.duration / time.Second))
	_, err = client.Update(ctx, lease, metav1.UpdateOptions{})
	return s.holds(began, err)
}

// holds records that the Lease was held or renewed by a request that was begun at a time, unless it failed.
func (s *fakeShard) holds(began time.Time, err error) error {
	if err == nil {
		s.mu.Lock()
		s.deadline, s.holding = began.Add(s.duration+s.drift), true
		s.mu.Unlock()
	}
	return err
}

// watch works on the shard's objects of one resource. Like an informer, it takes what has gone while a watch was broken for
// deleted.
func (s *fakeShard) watch(ctx context.Context, r schema.GroupVersionResource) {
	for ctx.Err() == nil {
		if w, err := stream.NewLister(s.f.meta).Watch(ctx, r, v1alpha1.ShardSelector(s.f.ring, s.name)); err == nil {
			s.events(ctx, r, w)
			w.Stop()
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *fakeShard) events(ctx context.Context, r schema.GroupVersionResource, w watch.Interface) {
	s.mu.Lock()
	missing := map[types.UID]known{}
	for uid, k := range s.known {
		if k.resource == r {
			missing[uid] = k
		}
	}
	s.mu.Unlock()
	busy := make(chan struct{}, 16)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case event, ok := <-w.ResultChan():
			if !ok {
				return
			}
			if _, end, _ := stream.Decode(r, event); end {
				for uid := range missing {
					s.mu.Lock()
					delete(s.known, uid)
					s.mu.Unlock()
					s.f.ledger.taken(string(uid), s.name)
				}
			}
			object, ok := event.Object.(*metav1.PartialObjectMetadata)
			if !ok || event.Type == watch.Bookmark {
				continue
			}
			delete(missing, object.UID)
			s.see(ctx, r, event.Type == watch.Deleted, object, func(letGo func()) {
				busy <- struct{}{}
				wg.Go(func() { letGo(); <-busy })
			})
		}
	}
}

func (s *fakeShard) see(ctx context.Context, r schema.GroupVersionResource, gone bool, o *metav1.PartialObjectMetadata, async func(func())) {
	s.mu.Lock()
	if gone {
		delete(s.known, o.UID)
	} else {
		s.known[o.UID] = known{r, o}
		if r == secrets {
			s.secrets[o.Name] = o.UID
		}
	}
	s.mu.Unlock()
	switch _, draining := o.Labels[v1alpha1.DrainLabel(s.f.ring)]; {
	case ctx.Err() != nil:
	case gone && o.Labels[v1alpha1.ShardLabel(s.f.ring)] != s.name:
		s.f.ledger.taken(string(o.UID), s.name)
	case gone:
		s.f.ledger.release(string(o.UID), s.name)
	case draining:
		family := s.family(o)
		for _, k := range family {
			s.f.ledger.release(string(k.object.UID), s.name)
		}
		async(func() {
			for _, k := range family {
				s.letGo(ctx, k.resource, k.object)
			}
		})
	default:
		s.f.ledger.own(string(o.UID), s.name)
	}
}

// family returns an object and before it the Secret that it controls, which has the same name.
func (s *fakeShard) family(o *metav1.PartialObjectMetadata) (out []known) {
	s.mu.Lock()
	defer s.mu.Unlock()
	self := s.known[o.UID] // see has put it there
	if child, ok := s.secrets[o.Name]; ok && self.resource != secrets {
		if k, ok := s.known[child]; ok && metav1.GetControllerOf(k.object) != nil {
			out = append(out, k)
		}
	}
	return append(out, self)
}

func (s *fakeShard) letGo(ctx context.Context, r schema.GroupVersionResource, o *metav1.PartialObjectMetadata) {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": o.ResourceVersion,
		"labels":          map[string]any{v1alpha1.ShardLabel(s.f.ring): nil, v1alpha1.DrainLabel(s.f.ring): nil},
	}})
	if err == nil {
		client := s.f.meta.Resource(r)
		if o.Namespace == "" {
			_, err = client.Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		} else {
			_, err = client.Namespace(o.Namespace).Patch(ctx, o.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		}
	}
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		s.f.t.Errorf("shard %s could not let go of %s: %v", s.name, o.Name, err)
	}
}
