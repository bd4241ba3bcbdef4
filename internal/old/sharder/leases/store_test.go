package leases

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	coordinationv1client "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/internal/old/membership"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// store keeps Leases as the API server does as far as this package can tell: resourceVersions, preconditions, watches. It can
// be down, and it can be late with its news.
type store struct {
	coordinationv1client.LeaseInterface // what is not implemented is not called

	mu       sync.Mutex
	version  int
	leases   map[string]*coordinationv1.Lease
	watchers []chan watch.Event
	// down has all requests fail, readOnly all writes; deaf has watchers hear nothing.
	down, deaf, readOnly bool
	// beforeWrite is called once before the next write is made.
	beforeWrite func()
	writes      int
	onPut       func(*coordinationv1.Lease)
}

func newStore() *store { return &store{leases: map[string]*coordinationv1.Lease{}} }

var errDown = errors.New("connection refused")

var leaseResource = coordinationv1.Resource("leases")

func (s *store) Leases(string) coordinationv1client.LeaseInterface { return s }

func (s *store) Get(_ context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	if l, ok := s.leases[name]; ok {
		return l.DeepCopy(), nil
	}
	return nil, apierrors.NewNotFound(leaseResource, name)
}

func (s *store) Create(_ context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, errDown
	}
	if _, ok := s.leases[lease.Name]; ok {
		return nil, apierrors.NewAlreadyExists(leaseResource, lease.Name)
	}
	lease = lease.DeepCopy()
	lease.UID = types.UID("uid-" + strconv.Itoa(s.version))
	return s.put(watch.Added, lease), nil
}

func (s *store) Update(_ context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	s.before()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.readOnly {
		return nil, errDown
	}
	if err := s.check(lease.Name, lease.UID, lease.ResourceVersion); err != nil {
		return nil, err
	}
	s.writes++
	return s.put(watch.Modified, lease.DeepCopy()), nil
}

func (s *store) Patch(_ context.Context, name string, _ types.PatchType, data []byte, _ metav1.PatchOptions, _ ...string) (*coordinationv1.Lease, error) {
	s.before()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down || s.readOnly {
		return nil, errDown
	}
	var patch struct {
		Metadata struct {
			UID             types.UID
			ResourceVersion string
			Labels          map[string]string
		}
	}
	if err := json.Unmarshal(data, &patch); err != nil {
		return nil, err
	}
	if err := s.check(name, patch.Metadata.UID, patch.Metadata.ResourceVersion); err != nil {
		return nil, err
	}
	lease := s.leases[name].DeepCopy()
	for k, v := range patch.Metadata.Labels {
		metav1.SetMetaDataLabel(&lease.ObjectMeta, k, v)
	}
	s.writes++
	return s.put(watch.Modified, lease), nil
}

func (s *store) Delete(_ context.Context, name string, opts metav1.DeleteOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var uid types.UID
	version := ""
	if p := opts.Preconditions; p != nil {
		uid, version = *p.UID, *p.ResourceVersion
	}
	if s.down {
		return errDown
	}
	if err := s.check(name, uid, version); err != nil {
		return err
	}
	lease := s.leases[name]
	delete(s.leases, name)
	s.tell(watch.Event{Type: watch.Deleted, Object: lease})
	return nil
}

func (s *store) before() {
	s.mu.Lock()
	f := s.beforeWrite
	s.beforeWrite = nil
	s.mu.Unlock()
	if f != nil {
		f()
	}
}

func (s *store) check(name string, uid types.UID, version string) error {
	l, ok := s.leases[name]
	if !ok {
		return apierrors.NewNotFound(leaseResource, name)
	}
	if uid != "" && uid != l.UID || version != "" && version != l.ResourceVersion {
		return apierrors.NewConflict(leaseResource, name, errors.New("it has changed"))
	}
	return nil
}

func (s *store) put(event watch.EventType, lease *coordinationv1.Lease) *coordinationv1.Lease {
	s.version++
	lease.ResourceVersion = strconv.Itoa(s.version)
	s.leases[lease.Name] = lease
	if s.onPut != nil {
		s.onPut(lease)
	}
	s.tell(watch.Event{Type: event, Object: lease})
	return lease.DeepCopy()
}

func (s *store) tell(e watch.Event) {
	if s.deaf || s.down {
		return
	}
	e.Object = e.Object.DeepCopyObject()
	for _, w := range s.watchers {
		w <- e
	}
}

// informer returns an informer for the Leases.
func (s *store) informer() cache.SharedIndexInformer {
	return cache.NewSharedIndexInformer(&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			list := &coordinationv1.LeaseList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
			for _, l := range s.leases {
				list.Items = append(list.Items, *l.DeepCopy())
			}
			return list, nil
		},
		WatchFuncWithContext: func(_ context.Context, opts metav1.ListOptions) (watch.Interface, error) {
			if opts.SendInitialEvents != nil {
				return nil, apierrors.NewInvalid(coordinationv1.SchemeGroupVersion.WithKind("Lease").GroupKind(), "", nil)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			ch := make(chan watch.Event, 10000)
			s.watchers = append(s.watchers, ch)
			return watch.NewProxyWatcher(ch), nil
		},
	}, &coordinationv1.Lease{}, 0, cache.Indexers{})
}

// rings knows one ring, whose snapshot is always that of the informer's cache.
type rings struct {
	name     string
	informer cache.SharedIndexInformer
}

func (r rings) Get(name string) (*snapshot.Ring, bool) {
	if name != r.name {
		return nil, false
	}
	var all []*coordinationv1.Lease
	for _, obj := range r.informer.GetStore().List() {
		all = append(all, obj.(*coordinationv1.Lease))
	}
	shards, ignored := membership.Shards(name, all)
	return &snapshot.Ring{Object: &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: name}}, Shards: shards, Ignored: ignored}, true
}

func (r rings) Subscribe(func(string)) {}
