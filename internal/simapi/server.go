package simapi

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
)

// Config configures a Server. The zero value of each field means its default.
type Config struct {
	// Resources are what is served. Default: those of the func Resources.
	Resources []Resource
	// Replicas is how many API servers there are over the same storage, each with a cache of its own. Default 1.
	Replicas int
	// History is how many events a cache remembers of each resource. Watches and pages that need older ones are answered
	// with 410. Default 1000.
	History int
	// CollectionDelay is the time from the end of an owner until the garbage collector has seen to what it owned. Default 1 s.
	CollectionDelay time.Duration
	// BookmarkInterval is the time between two bookmarks of a watch. Default 1 min.
	BookmarkInterval time.Duration
	// Webhooks carries the requests for mutating webhooks, to the URL of the webhook or to that of its Service,
	// https://name.namespace.svc:port. Without it, webhooks are not called.
	Webhooks http.RoundTripper
	// Seen is called with every change right when it is stored, in order, with the server locked: it must not block and must
	// not call the server. The contents must not be changed; old is nil for what was created, new for what was deleted.
	Seen func(r Resource, version uint64, old, new map[string]any)
}

// Server is an API server, or several with one storage. It is safe for concurrent use.
type Server struct {
	cfg    Config
	tables map[schema.GroupResource]*table

	mu      sync.Mutex
	version uint64
	uids    uint64
}

// New returns a Server with the namespace default in it and nothing else.
func New(cfg Config) (*Server, error) {
	if cfg.Resources == nil {
		cfg.Resources = Resources()
	}
	if cfg.Replicas <= 0 {
		cfg.Replicas = 1
	}
	if cfg.History <= 0 {
		cfg.History = 1000
	}
	if cfg.CollectionDelay <= 0 {
		cfg.CollectionDelay = time.Second
	}
	if cfg.BookmarkInterval <= 0 {
		cfg.BookmarkInterval = time.Minute
	}
	s := &Server{cfg: cfg, tables: map[schema.GroupResource]*table{}, version: firstVersion}
	var errs []error
	for _, r := range cfg.Resources {
		gr := r.GroupResource()
		if r.Resource == "" || r.Version == "" || r.Kind == "" {
			errs = append(errs, fmt.Errorf("resource %q: version, resource and kind are required", gr))
		}
		if _, ok := s.tables[gr]; ok {
			errs = append(errs, fmt.Errorf("resource %q is there twice", gr))
		}
		t := &table{Resource: r, objects: map[string]*object{}, managed: map[string]managers{}}
		for range cfg.Replicas {
			t.views = append(t.views, newView(s, t))
		}
		s.tables[gr] = t
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("simulated API server: %w", err)
	}
	if t, ok := s.tables[namespaces]; ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		content := map[string]any{
			"apiVersion": "v1", "kind": "Namespace",
			"metadata": map[string]any{"name": "default"}, "status": map[string]any{"phase": "Active"},
		}
		s.born(t, content)
		s.store(t, nil, content)
	}
	return s, nil
}

// firstVersion is what the storage begins with. Nothing is known of earlier versions.
const firstVersion = 100

var namespaces = schema.GroupResource{Resource: "namespaces"}

// Replica returns the connection to one of the API servers. It works on a request in the goroutine of the caller, and takes
// no time.
func (s *Server) Replica(i int) http.RoundTripper { return replica{s, i} }

// ConfigOver returns the configuration of clients that reach a Server through a round tripper, without a limit of their own.
func ConfigOver(rt http.RoundTripper) *rest.Config {
	config := &rest.Config{Host: "http://simapi", Transport: rt, QPS: -1}
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	return config
}

// Config returns the configuration of clients of the first replica, without a network in between.
func (s *Server) Config() *rest.Config { return ConfigOver(s.Replica(0)) }

// SetLag makes the cache of a replica lag behind the storage from now on. It never goes back: with a shorter lag, what was
// to come later comes with the next event.
func (s *Server) SetLag(i int, gr schema.GroupResource, lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tables[gr]; ok {
		t.views[i].lag = lag
	}
}

// Restart does to a replica what a restart does: all watches end, and the cache begins anew with no history.
func (s *Server) Restart(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables {
		t.views[i].forget()
	}
}

// Objects returns what is stored of a resource, in the order of namespaces and names. The contents must not be changed.
func (s *Server) Objects(gr schema.GroupResource) []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	var contents []map[string]any
	if t, ok := s.tables[gr]; ok {
		for _, o := range sorted(t.objects) {
			contents = append(contents, o.content)
		}
	}
	return contents
}

// store gives the content the next version and makes it the state of an object; nil deletes the object. The server is locked.
func (s *Server) store(t *table, old *object, content map[string]any) *object {
	s.version++
	e := event{version: s.version, old: old}
	if content != nil {
		e.new = newObject(content, s.version)
		t.objects[e.new.key] = e.new
	} else {
		delete(t.objects, old.key)
		delete(t.managed, old.key)
	}
	if s.cfg.Seen != nil {
		var before map[string]any
		if old != nil {
			before = old.content
		}
		s.cfg.Seen(t.Resource, s.version, before, content)
	}
	for _, v := range t.views {
		v.add(e)
	}
	s.collect(e)
	return e.new
}
