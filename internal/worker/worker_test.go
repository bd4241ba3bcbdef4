package worker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestNewReportsAllProblemsAtOnce(t *testing.T) {
	_, err := New(Config[string]{Workers: -1})
	want := "worker: Name is required\nworker: Sync is required\nworker: Workers must not be negative"
	if err == nil || err.Error() != want {
		t.Errorf("New: got error %v, want %q", err, want)
	}
}

func TestRetries(t *testing.T) {
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "leases"}, "a", errors.New("changed"))
	type outcome struct {
		after time.Duration
		err   error
	}
	tests := map[string]struct {
		outcomes      []outcome // of the syncs in turn; after the last one, nothing
		want          []time.Duration
		wantConflicts int
	}{
		"success is final": {
			outcomes: []outcome{{}},
			want:     []time.Duration{0},
		},
		"comes back when it asked to": {
			outcomes: []outcome{{after: time.Minute}, {after: time.Hour}, {}},
			want:     []time.Duration{0, time.Minute, time.Minute + time.Hour},
		},
		"errors back off": {
			outcomes: []outcome{{err: errors.New("a")}, {err: errors.New("b")}, {}},
			want:     []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond},
		},
		"success forgets earlier errors": {
			outcomes: []outcome{{err: errors.New("a")}, {err: errors.New("b")}, {after: time.Second}, {err: errors.New("c")}, {}},
			want:     []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 1015 * time.Millisecond, 1020 * time.Millisecond},
		},
		"conflicts are counted and tried again": {
			outcomes:      []outcome{{err: conflict}, {}},
			want:          []time.Duration{0, 5 * time.Millisecond},
			wantConflicts: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				var got []time.Duration
				conflicts := 0
				w, err := New(Config[string]{
					Name: "test",
					Sync: func(context.Context, string) (time.Duration, error) {
						o := outcome{}
						if len(got) < len(tc.outcomes) {
							o = tc.outcomes[len(got)]
						}
						got = append(got, time.Since(start))
						return o.after, o.err
					},
					OnConflict: func(string) { conflicts++ },
				})
				if err != nil {
					t.Fatal(err)
				}
				w.Add("key")
				ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
				defer cancel()
				if err := w.Run(ctx); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("times of the syncs (-want +got):\n%s", diff)
				}
				if conflicts != tc.wantConflicts {
					t.Errorf("got %d conflicts, want %d", conflicts, tc.wantConflicts)
				}
			})
		})
	}
}

// TestOneWorkerPerKey pins what handover relies on: however many workers there are, a key has at most one.
func TestOneWorkerPerKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var working [3]atomic.Int32
		var most, syncs atomic.Int32
		var w *Worker[int]
		w, err := New(Config[int]{
			Name:    "test",
			Workers: 8,
			Sync: func(_ context.Context, key int) (time.Duration, error) {
				most.Store(max(most.Load(), working[key].Add(1)))
				time.Sleep(time.Millisecond)
				working[key].Add(-1)
				syncs.Add(1)
				return 0, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var done sync.WaitGroup
		done.Go(func() {
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		for range 100 {
			for key := range working {
				w.Add(key)
			}
			time.Sleep(300 * time.Microsecond)
		}
		time.Sleep(time.Second)
		cancel()
		done.Wait()
		if most.Load() != 1 || syncs.Load() == 0 {
			t.Errorf("at most %d workers had the same key in %d syncs, want 1", most.Load(), syncs.Load())
		}
	})
}

func TestRunWaitsForItsWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var ended atomic.Bool
		w, err := New(Config[string]{
			Name: "test",
			Sync: func(ctx context.Context, _ string) (time.Duration, error) {
				<-ctx.Done()
				time.Sleep(time.Second) // stands for work that takes a moment to end
				ended.Store(true)
				return 0, ctx.Err()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.Add("a")
		w.Add("b")
		time.AfterFunc(time.Minute, cancel)
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
		if !ended.Load() {
			t.Error("Run returned before its worker had ended")
		}
	})
}
