package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/features"
	featurestesting "k8s.io/client-go/features/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/wire"
)

// A server is an API server for ConfigMaps that a test drives by hand. It lists what it has; watches get the events that
// the test sends.
type server struct {
	mu      sync.Mutex
	version int
	objects map[string]*corev1.ConfigMap
	history []watch.Event // one for each version after firstVersion
	watches []*serverWatch
	opened  int      // watches, failed ones included
	lists   []string // their selectors
	hold    chan struct{}
	fails   error // of the next watches
	listErr error
}

const firstVersion = 100

type serverWatch struct {
	*watch.RaceFreeFakeWatcher
	selector string
}

func newServer(objects ...*corev1.ConfigMap) *server {
	s := &server{version: firstVersion, objects: map[string]*corev1.ConfigMap{}}
	for _, o := range objects {
		s.put(o)
	}
	return s
}

func (s *server) put(o *corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o = o.DeepCopy()
	o.ResourceVersion = strconv.Itoa(s.version)
	_, known := s.objects[o.Name]
	s.objects[o.Name] = o
	s.send(o, map[bool]watch.EventType{true: watch.Modified, false: watch.Added}[known])
}

func (s *server) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	o := s.objects[name].DeepCopy()
	o.ResourceVersion = strconv.Itoa(s.version)
	delete(s.objects, name)
	s.send(o, watch.Deleted)
}

func (s *server) send(o *corev1.ConfigMap, t watch.EventType) {
	event := watch.Event{Type: t, Object: o}
	s.history = append(s.history, event)
	for _, w := range s.watches {
		w.send(event)
	}
}

func (w *serverWatch) send(event watch.Event) {
	if !w.IsStopped() && selects(w.selector, event.Object.(*corev1.ConfigMap).Labels[wire.SlotLabel(testRing)]) {
		w.Action(event.Type, event.Object.DeepCopyObject())
	}
}

func selects(selector, slot string) bool {
	_, values, _ := strings.Cut(selector, "(")
	for value := range strings.SplitSeq(strings.TrimSuffix(values, ")"), ",") {
		if value == slot {
			return true
		}
	}
	return false
}

func (s *server) List(ctx context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = append(s.lists, strings.TrimPrefix(o.LabelSelector, wire.SlotLabel(testRing)+" in "))
	if s.listErr != nil {
		return nil, s.listErr
	}
	list := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}}
	for _, c := range s.objects {
		if selects(o.LabelSelector, c.Labels[wire.SlotLabel(testRing)]) {
			list.Items = append(list.Items, *c.DeepCopy())
		}
	}
	if hold := s.hold; hold != nil {
		s.mu.Unlock()
		defer s.mu.Lock()
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return list, nil
}

func (s *server) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opened++
	if s.fails != nil {
		return nil, s.fails
	}
	w := &serverWatch{watch.NewRaceFreeFake(), o.LabelSelector}
	from, _ := strconv.Atoi(o.ResourceVersion)
	for _, event := range s.history[max(0, from-firstVersion):] {
		w.send(event)
	}
	s.watches = append(s.watches, w)
	return w, nil
}

func (s *server) IsWatchListSemanticsUnSupported() bool { return true }

func (s *server) current() *serverWatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watches[len(s.watches)-1]
}

// inBubble runs a test in a bubble with a running informer for the slots 1 and 2.
func inBubble(t *testing.T, s *server, test func(t *testing.T, ctx context.Context, i *Informer, log *[]string)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		i := New(s, Options{Ring: testRing})
		var log []string
		note := func(what string, o any) {
			if tombstone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = tombstone.Obj
			}
			log = append(log, fmt.Sprintf("%s %s", what, o.(metav1.Object).GetName()))
		}
		_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { note("add", o) },
			UpdateFunc: func(_, o any) { note("update", o) },
			DeleteFunc: func(o any) { note("delete", o) },
		})
		if err != nil {
			t.Fatal(err)
		}
		done := run(ctx, i)
		i.Set(ring.SlotsOf(1, 2))
		if err := i.Wait(ctx, ring.SlotsOf(1, 2)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		log = nil
		test(t, ctx, i, &log)
		cancel()
		<-done
	})
}

func expect(t *testing.T, log *[]string, want ...string) {
	t.Helper()
	synctest.Wait()
	if diff := cmp.Diff(want, *log); diff != "" {
		t.Error(diff)
	}
	*log = nil
}

func objects() []*corev1.ConfigMap {
	return []*corev1.ConfigMap{configMap("a", 1), configMap("b", 2), configMap("c", 3)}
}

// TestLostDuringRead: what was read of a slot before it was lost does not count, even if it is wanted again.
func TestLostDuringRead(t *testing.T) {
	s := newServer(objects()...)
	inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
		s.hold = make(chan struct{})
		i.Set(ring.SlotsOf(1, 2, 3))
		synctest.Wait() // it has read c, and has no answer yet
		s.remove("c")
		i.Set(ring.SlotsOf(1, 2))
		i.Set(ring.SlotsOf(1, 2, 3))
		close(s.hold)
		if err := i.Wait(ctx, ring.SlotsOf(3)); err != nil {
			t.Fatal(err)
		}
		expect(t, log)
		if diff := cmp.Diff([]string{"(1,2)", "(3)", "(3)"}, s.lists); diff != "" {
			t.Error(diff)
		}
	})
}

// TestLostForAMoment: a slot that was not wanted for a moment is read again, and not synced until then.
func TestLostForAMoment(t *testing.T) {
	s := newServer(objects()...)
	inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
		s.hold = make(chan struct{})
		i.Set(ring.SlotsOf(1))
		i.Set(ring.SlotsOf(1, 2))
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := i.Wait(short, ring.SlotsOf(2)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait: %v", err)
		}
		close(s.hold)
		if err := i.Wait(ctx, ring.SlotsOf(1, 2)); err != nil {
			t.Fatal(err)
		}
		expect(t, log, "add b")
		i.Set(ring.SlotsOf(1))
		if synced, _ := i.Synced(); synced != ring.SlotsOf(1) {
			t.Errorf("synced: %s", synced)
		}
	})
}

// TestGainBehindPosition: what happened to gained objects between their read and the position of the watch is not lost.
func TestGainBehindPosition(t *testing.T) {
	s := newServer(objects()...)
	inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
		s.hold = make(chan struct{})
		i.Set(ring.SlotsOf(1, 2, 3))
		synctest.Wait()
		s.put(configMap("c", 3))
		s.put(configMap("a", 1)) // brings the position ahead of what was read
		expect(t, log, "update a")
		close(s.hold)
		expect(t, log, "add c", "update c")
	})
}

// TestEnds: whatever ends a watch, it is opened again where it was, and nothing is read or shown again.
func TestEnds(t *testing.T) {
	unavailable := apierrors.NewInternalError(errors.New("unable to decode an event")).Status()
	expired := apierrors.NewResourceExpired("too old").Status()
	for name, test := range map[string]struct {
		end   func(s *server)
		lists int
	}{
		"closed":        {end: func(s *server) { s.current().Stop() }},
		"error event":   {end: func(s *server) { s.current().Error(&unavailable) }},
		"expired event": {end: func(s *server) { s.current().Error(&expired) }, lists: 1},
		"five times": {end: func(s *server) {
			for range 5 {
				s.current().Stop()
				time.Sleep(10 * time.Second)
			}
		}},
		"refused": {end: func(s *server) {
			s.mu.Lock()
			s.fails = apierrors.NewForbidden(corev1.Resource("configmaps"), "", errors.New("no"))
			s.mu.Unlock()
			s.current().Stop()
			time.Sleep(time.Minute)
			s.mu.Lock()
			if s.opened < 8 || s.opened > 30 {
				t.Errorf("opened %d times in a minute", s.opened)
			}
			s.fails = nil
			s.mu.Unlock()
		}},
		"gone when it is opened": {lists: 1, end: func(s *server) {
			s.mu.Lock()
			s.fails = &apierrors.StatusError{ErrStatus: metav1.Status{Reason: metav1.StatusReasonGone, Code: http.StatusGone}}
			s.listErr = errors.New("not now")
			lists := len(s.lists)
			s.mu.Unlock()
			s.current().Stop()
			time.Sleep(time.Second)
			s.mu.Lock()
			s.fails, s.listErr, s.lists = nil, nil, s.lists[:lists]
			s.mu.Unlock()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(objects()...)
			inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
				lists := len(s.lists)
				test.end(s)
				s.put(configMap("a", 1))
				s.remove("b")
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if n := len(s.lists) - lists; n != test.lists {
					t.Errorf("listed %d times", n)
				}
				s.put(configMap("b", 2))
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if diff := cmp.Diff([]string{"default/a", "default/b"}, keys(i)); diff != "" {
					t.Error(diff)
				}
				if name == "expired event" {
					expect(t, log, "update a", "delete b", "add b")
				}
				for _, line := range *log {
					if line == "add a" {
						t.Errorf("%q: it was there", *log)
					}
				}
			})
		})
	}
}

// TestEmpty: without slots the informer is synced, and asks for nothing; with all it has all.
func TestEmpty(t *testing.T) {
	s := newServer(objects()...)
	inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
		i.Set(ring.Slots{})
		synctest.Wait()
		opened := s.opened
		if w := s.current(); !w.IsStopped() {
			t.Error("a watch is open")
		}
		time.Sleep(time.Hour)
		if s.opened != opened {
			t.Errorf("%d watches in an hour", s.opened-opened)
		}
		i.Set(ring.AllSlots())
		if err := i.Wait(ctx, ring.AllSlots()); err != nil {
			t.Fatal(err)
		}
		expect(t, log, "add a", "add b", "add c")
	})
}

// TestLabelChanges: an object that gets another slot goes, or stays, without a delete for handlers where that is known.
func TestLabelChanges(t *testing.T) {
	s := newServer(objects()...)
	inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
		s.put(configMap("a", 2))
		expect(t, log, "update a")
		w := s.current()
		w.selector = "(1,2,3)" // as wide as a watch is for a moment after a loss
		s.put(configMap("a", 3))
		expect(t, log)
		if diff := cmp.Diff([]string{"default/b"}, keys(i)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestDeleteOfUnwanted: handlers are not told when an object is deleted whose slot is not wanted any more.
func TestDeleteOfUnwanted(t *testing.T) {
	s := newServer(objects()...)
	inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
		i.Set(ring.SlotsOf(1))
		s.remove("b")
		s.remove("a")
		expect(t, log, "delete a")
	})
}

// TestGates: nothing depends on features of client-go that can be switched off.
func TestGates(t *testing.T) {
	for _, gate := range []features.Feature{
		features.AtomicFIFO, features.UnlockWhileProcessingFIFO, features.WatchListClient, features.InOrderInformersBatchProcess,
	} {
		t.Run(string(gate), func(t *testing.T) {
			if gate == features.AtomicFIFO {
				featurestesting.SetFeatureDuringTest(t, features.UnlockWhileProcessingFIFO, false)
			}
			featurestesting.SetFeatureDuringTest(t, gate, false)
			s := newServer(objects()...)
			inBubble(t, s, func(t *testing.T, ctx context.Context, i *Informer, log *[]string) {
				i.Set(ring.SlotsOf(1, 3))
				if err := i.Wait(ctx, ring.SlotsOf(3)); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"default/a", "default/c"}, keys(i)); diff != "" {
					t.Error(diff)
				}
				expect(t, log, "add c")
			})
		})
	}
}

// TestTransformFails: an object that a transform refuses is missing, as in any informer, and Wait does not wait for it.
func TestTransformFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		i := New(newServer(objects()...), Options{Ring: testRing})
		err := i.SetTransform(func(o any) (any, error) {
			if o.(*corev1.ConfigMap).Name == "c" {
				return nil, errors.New("no")
			}
			return o, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		done := run(ctx, i)
		for _, slots := range []ring.Slots{ring.SlotsOf(1), ring.SlotsOf(1, 2, 3)} {
			i.Set(slots)
			if err := i.Wait(ctx, slots); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff([]string{"default/a", "default/b"}, keys(i)); diff != "" {
			t.Error(diff)
		}
		cancel()
		<-done
	})
}

// TestListAgain: a reflector that lists again gets the present state, and a new feed.
func TestListAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newServer(objects()...)
		i := New(s, Options{Ring: testRing})
		i.Set(ring.SlotsOf(1))
		for range 2 {
			if _, err := i.source.list(ctx, metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
			w, err := i.source.watch(ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if mark := <-w.ResultChan(); mark.Type != watch.Deleted {
				t.Errorf("%v", mark)
			}
			synctest.Wait()
			s.put(configMap("a", 1))
			if event := <-w.ResultChan(); event.Type != watch.Modified {
				t.Errorf("%v", event)
			}
		}
		cancel()
		i.source.feeds.Wait()
	})
}

// TestStop: the informer can be stopped at any time, and leaves no goroutine behind: a bubble ends only without them.
func TestStop(t *testing.T) {
	for after := range 60 {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(after)*10*time.Millisecond)
			defer cancel()
			s := newServer(objects()...)
			i := New(slow{s}, Options{Ring: testRing})
			done := run(ctx, i)
			for slot := 1; ctx.Err() == nil; slot = slot%3 + 1 {
				i.Set(ring.SlotsOf(slot, slot%3+1))
				_ = i.Wait(ctx, ring.SlotsOf(slot))
				s.put(configMap("a", slot))
				<-time.After(7 * time.Millisecond)
			}
			<-done
		})
	}
}

// slow is a server whose answers take a while.
type slow struct{ *server }

func (s slow) List(ctx context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error) {
	if err := sleep(ctx, 30*time.Millisecond); err != nil {
		return nil, err
	}
	return s.server.List(ctx, o)
}

func (s slow) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if err := sleep(ctx, 20*time.Millisecond); err != nil {
		return nil, err
	}
	return s.server.Watch(ctx, o)
}
