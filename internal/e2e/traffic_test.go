package e2e

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/wire"
)

// birth is what became of a request to create an object.
type birth struct {
	name string
	uid  types.UID
	slot string // that it was born with
	took time.Duration
	at   time.Time
}

// create creates n objects, one after the other by each of the clients. No creation may fail (G3).
func (w *world) create(prefix string, n, clients int) []birth {
	w.Helper()
	births := make([]birth, n)
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := c; i < n; i += clients {
				object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", prefix, i)}}
				b, err := w.createOne(w.Context(), object)
				if err != nil {
					w.Errorf("create %s: %v", object.Name, err)
				}
				births[i] = b
			}
		})
	}
	wg.Wait()
	return births
}

func (w *world) createOne(ctx context.Context, object *corev1.ConfigMap) (birth, error) {
	began := time.Now()
	made, err := w.kube.CoreV1().ConfigMaps(w.namespace).Create(ctx, object, metav1.CreateOptions{})
	if err != nil {
		return birth{}, err
	}
	now := time.Now()
	return birth{made.Name, made.UID, made.Labels[wire.SlotLabel(w.ring)], now.Sub(began), now}, nil
}

// unlabelled returns how many were born without a slot.
func unlabelled(births []birth) int {
	n := 0
	for _, b := range births {
		if b.slot == "" {
			n++
		}
	}
	return n
}

// admissionTimeout is how long the API server waits for admission, before it lets an object pass without it.
const admissionTimeout = time.Second

// bornWithSlots checks that admission was asked about the objects and has answered. On a busy machine, it may have been too late for
// some of those that took so long.
func (w *world) bornWithSlots(births []birth) {
	w.Helper()
	late := 0
	for _, b := range births {
		switch {
		case b.slot != "":
		case b.took < admissionTimeout:
			w.Errorf("%s was born without a slot, within %s", b.name, b.took)
		default:
			late++
		}
	}
	if late > len(births)/2 {
		w.Errorf("admission was too late for %d of %d objects", late, len(births))
	}
}

// waitLabelled waits until the objects have the label of their slot, and returns the longest time that one had to wait for it.
func (w *world) waitLabelled(births []birth, timeout time.Duration) (longest time.Duration) {
	w.Helper()
	for _, b := range births {
		var at time.Time
		testenv.Poll(w.T, timeout, func(context.Context) error {
			var ok bool
			if at, ok = w.labelledAt(b.uid, w.ring); !ok {
				return fmt.Errorf("%s has no label for its slot", b.name)
			}
			return nil
		})
		longest = max(longest, at.Sub(b.at))
	}
	return longest
}

// traffic are clients that create, change and delete objects until they are stopped.
type traffic struct {
	created, changed, deleted, failed int
	stop                              func() // can be called more than once
}

// startTraffic starts clients, none of whose requests may fail (G3). The counts are valid after stop.
func (w *world) startTraffic(clients int, pause time.Duration) *traffic {
	return w.startTrafficWith(clients, pause, nil)
}

// startTrafficWith is startTraffic while requests may fail with certain errors: clients then go on with the next object.
func (w *world) startTrafficWith(clients int, pause time.Duration, mayFail func(error) bool) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for c := range clients {
		wg.Go(func() {
			one := w.client(ctx, fmt.Sprintf("traffic-%d", c), pause, mayFail)
			mu.Lock()
			defer mu.Unlock()
			tr.created, tr.changed, tr.deleted = tr.created+one.created, tr.changed+one.changed, tr.deleted+one.deleted
			tr.failed += one.failed
		})
	}
	tr.stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	w.Cleanup(tr.stop)
	return tr
}

// client creates objects, changes one that it created earlier for each, and deletes every third of those again. It finishes
// what it has begun, and ends when a request fails that may not.
func (w *world) client(ctx context.Context, prefix string, pause time.Duration, mayFail func(error) bool) (tr traffic) {
	objects := w.kube.CoreV1().ConfigMaps(w.namespace)
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	whole := context.WithoutCancel(ctx)
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return tr
		case <-ticker.C:
		}
		name := func(i int) string { return fmt.Sprintf("%s-%d", prefix, i) }
		old := i / 2
		what, count, do := "change "+name(old), &tr.changed, func() error {
			change := fmt.Appendf(nil, `{"data":{"changed":"%d"}}`, i)
			_, err := objects.Patch(whole, name(old), types.MergePatchType, change, metav1.PatchOptions{})
			return err
		}
		if old%3 == 0 && i%2 == 1 {
			what, count, do = "delete "+name(old), &tr.deleted, func() error {
				return objects.Delete(whole, name(old), metav1.DeleteOptions{})
			}
		}
		_, err := w.createOne(whole, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name(i)}})
		if err == nil {
			tr.created++
			err = do()
		} else {
			what, count = "create "+name(i), nil
		}
		switch {
		case err == nil:
			*count++
		case mayFail != nil && mayFail(err):
			tr.failed++
		default:
			w.Errorf("%s: %v", what, err)
			return tr
		}
	}
}
