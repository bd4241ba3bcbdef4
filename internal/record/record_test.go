package record

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var (
	alice = Worker{Shard: "a", Holder: "a_1", PID: 1}
	bob   = Worker{Shard: "b", Holder: "b_1", PID: 2}
	start = time.Unix(1_700_000_000, 0)
)

// at is a time, in milliseconds after the start.
func at(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }

// by is an interval; a negative end means none.
func by(w Worker, uid types.UID, begin, end int) Interval {
	i := Interval{Key: "default/" + string(uid), UID: uid, Worker: w, Begin: at(begin)}
	if end >= 0 {
		i.End = at(end)
	}
	return i
}

func TestOverlaps(t *testing.T) {
	aliceAgain := Worker{Shard: "a", Holder: "a_2", PID: 3}
	aliceOtherPID := Worker{Shard: "a", Holder: "a_1", PID: 9}
	for name, tc := range map[string]struct {
		intervals []Interval
		died      map[Worker]time.Time
		want      []Overlap
	}{
		"nothing":            {},
		"one after another":  {intervals: []Interval{by(alice, "x", 0, 10), by(bob, "x", 20, 30)}},
		"in the same moment": {intervals: []Interval{by(alice, "x", 0, 10), by(bob, "x", 10, 20)}},
		"different objects":  {intervals: []Interval{by(alice, "x", 0, 10), by(bob, "y", 5, 15)}},
		"one worker":         {intervals: []Interval{by(alice, "x", 0, 10), by(alice, "x", 5, 15)}},
		"at once": {
			intervals: []Interval{by(alice, "x", 0, 10), by(bob, "x", 9, 20)},
			want:      []Overlap{{by(alice, "x", 0, 10), by(bob, "x", 9, 20)}},
		},
		"read in the other order": {
			intervals: []Interval{by(bob, "x", 9, 20), by(alice, "x", 0, 10)},
			want:      []Overlap{{by(alice, "x", 0, 10), by(bob, "x", 9, 20)}},
		},
		"one within the other, with something in between": {
			intervals: []Interval{by(alice, "x", 0, 100), by(alice, "x", 10, 11), by(bob, "x", 50, 60)},
			want:      []Overlap{{by(alice, "x", 0, 100), by(bob, "x", 50, 60)}},
		},
		"beginning in the same moment": {
			intervals: []Interval{by(bob, "x", 0, 10), by(alice, "x", 0, 5)},
			want:      []Overlap{{by(alice, "x", 0, 5), by(bob, "x", 0, 10)}},
		},
		"two processes of one shard": {
			intervals: []Interval{by(alice, "x", 0, 10), by(aliceAgain, "x", 5, 15)},
			want:      []Overlap{{by(alice, "x", 0, 10), by(aliceAgain, "x", 5, 15)}},
		},
		"two processes that were given one identity": {
			intervals: []Interval{by(alice, "x", 0, 10), by(aliceOtherPID, "x", 5, 15)},
			want:      []Overlap{{by(alice, "x", 0, 10), by(aliceOtherPID, "x", 5, 15)}},
		},
		"without an end, nobody known to have died": {
			intervals: []Interval{by(alice, "x", 0, -1), by(bob, "x", 1000, 1010)},
			want:      []Overlap{{by(alice, "x", 0, -1), by(bob, "x", 1000, 1010)}},
		},
		"without an end, died before": {
			intervals: []Interval{by(alice, "x", 0, -1), by(bob, "x", 1000, 1010)},
			died:      map[Worker]time.Time{alice: at(900)},
		},
		"without an end, died too late": {
			intervals: []Interval{by(alice, "x", 0, -1), by(bob, "x", 1000, 1010)},
			died:      map[Worker]time.Time{alice: at(1005)},
			want:      []Overlap{{by(alice, "x", 0, 1005), by(bob, "x", 1000, 1010)}},
		},
		"without an end, somebody else died": {
			intervals: []Interval{by(alice, "x", 0, -1), by(bob, "x", 1000, 1010)},
			died:      map[Worker]time.Time{aliceAgain: at(900)},
			want:      []Overlap{{by(alice, "x", 0, -1), by(bob, "x", 1000, 1010)}},
		},
		"begun after what was called a death": {
			intervals: []Interval{by(alice, "x", 950, -1), by(bob, "x", 1000, 1010)},
			died:      map[Worker]time.Time{alice: at(900)},
			want:      []Overlap{{by(alice, "x", 950, -1), by(bob, "x", 1000, 1010)}},
		},
		"a death does not shorten what has an end": {
			intervals: []Interval{by(alice, "x", 0, 10), by(bob, "x", 5, 15)},
			died:      map[Worker]time.Time{alice: at(2)},
			want:      []Overlap{{by(alice, "x", 0, 10), by(bob, "x", 5, 15)}},
		},
		"several, in order": {
			intervals: []Interval{by(alice, "y", 0, 10), by(bob, "y", 6, 7), by(alice, "x", 0, 10), by(bob, "x", 2, 3), by(bob, "x", 4, 5)},
			want: []Overlap{
				{by(alice, "x", 0, 10), by(bob, "x", 2, 3)},
				{by(alice, "x", 0, 10), by(bob, "x", 4, 5)},
				{by(alice, "y", 0, 10), by(bob, "y", 6, 7)},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Overlaps(tc.intervals, tc.died)); diff != "" {
				t.Errorf("overlaps (-want +got):\n%s", diff)
			}
		})
	}
}

// TestOverlapsAgainstReference compares with a check of every pair.
func TestOverlapsAgainstReference(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	workers := []Worker{alice, bob, {Shard: "c", Holder: "c_1", PID: 3}}
	for range 300 {
		var intervals []Interval
		for range rnd.IntN(12) {
			begin := rnd.IntN(30)
			end := begin + rnd.IntN(10)
			if rnd.IntN(8) == 0 {
				end = -1
			}
			intervals = append(intervals, by(workers[rnd.IntN(3)], []types.UID{"x", "y"}[rnd.IntN(2)], begin, end))
		}
		want := 0
		for i, a := range intervals {
			for _, b := range intervals[:i] {
				if a.UID == b.UID && a.Worker != b.Worker && meet(a, b) {
					want++
				}
			}
		}
		if got := Overlaps(intervals, nil); len(got) != want {
			t.Fatalf("%d overlaps, want %d, in %v", len(got), want, intervals)
		}
	}
}

// meet tells whether the intervals meet: the later beginning is before the earlier end, and an empty interval is inside
// the other one only if it begins after it or together with it.
func meet(a, b Interval) bool {
	if b.Begin.Before(a.Begin) || (b.Begin.Equal(a.Begin) && compareWorkers(b.Worker, a.Worker) < 0) {
		a, b = b, a
	}
	return a.End.IsZero() || a.End.After(b.Begin)
}

func object(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID("uid-" + name)}}
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	before := time.Now().Round(0)
	w, err := Open(path, Worker{Shard: "a", Holder: "a_1"})
	if err != nil {
		t.Fatal(err)
	}
	end, err := w.Begin(object("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Begin(object("y")); err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Fatalf("%d intervals, want 2: %v", len(got), got)
	}
	for _, i := range got {
		if i.Begin.Before(before) || i.Begin.After(time.Now()) {
			t.Errorf("began at %v, which is not during the test", i.Begin)
		}
	}
	if x := got[0]; x.End.Before(x.Begin) {
		t.Errorf("ended at %v, before its beginning at %v", x.End, x.Begin)
	}
	worker := Worker{Shard: "a", Holder: "a_1", PID: os.Getpid()}
	want := []Interval{
		{Key: "default/x", UID: "uid-x", Worker: worker, Begin: got[0].Begin, End: got[0].End},
		{Key: "default/y", UID: "uid-y", Worker: worker, Begin: got[1].Begin},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("intervals (-want +got):\n%s", diff)
	}
}

func TestNilWriter(t *testing.T) {
	var w *Writer
	end, err := w.Begin(object("x"))
	if err != nil {
		t.Fatal(err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestManyWriters has goroutines with a Writer each append to one file.
func TestManyWriters(t *testing.T) {
	const writers, syncs = 8, 200
	path := filepath.Join(t.TempDir(), "record")
	var wg sync.WaitGroup
	for n := range writers {
		w, err := Open(path, Worker{Shard: "a", Holder: strings.Repeat("h", 20*n+1)})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer w.Close()
			for range syncs {
				end, err := w.Begin(object("x"))
				if err != nil {
					t.Error(err)
					return
				}
				if err := end(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != writers*syncs {
		t.Errorf("%d intervals, want %d", len(got), writers*syncs)
	}
	// They took no turns, and the checker must notice.
	if len(Overlaps(got, nil)) == 0 {
		t.Error("no overlap was found")
	}
}

// TestKilled kills a process in the middle of its work. Its record tells what it was working on.
func TestKilled(t *testing.T) {
	const variable = "RECORD_TEST_FILE"
	if path := os.Getenv(variable); path != "" {
		w, err := Open(path, Worker{Shard: "a", Holder: "a_1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Begin(object("x")); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	path := filepath.Join(t.TempDir(), "record")
	child := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	child.Env = append(os.Environ(), variable+"="+path)
	if err := child.Run(); err == nil {
		t.Fatal("the child was to be killed")
	}
	died := time.Now()
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	worker := Worker{Shard: "a", Holder: "a_1", PID: child.Process.Pid}
	if len(got) != 1 || got[0].Worker != worker || !got[0].End.IsZero() {
		t.Fatalf("got %v, want one open interval of %v", got, worker)
	}
	later := Interval{Key: "default/x", UID: "uid-x", Worker: bob, Begin: died.Add(1), End: died.Add(2)}
	both := append(got, later)
	if got := Overlaps(both, map[Worker]time.Time{worker: died}); len(got) != 0 {
		t.Errorf("the death does not count: %v", got)
	}
	if got := Overlaps(both, nil); len(got) != 1 {
		t.Errorf("%d overlaps with a process that is not known to be dead, want 1", len(got))
	}
}

func TestReadRefuses(t *testing.T) {
	const (
		begin = `{"event":"begin","sync":1,"time":5,"key":"default/x","uid":"x","holder":"a","pid":1}` + "\n"
		end   = `{"event":"end","sync":1,"time":6,"key":"default/x","uid":"x","holder":"a","pid":1}` + "\n"
	)
	for name, tc := range map[string]struct {
		content string
		want    string // part of the error; none if empty
		count   int    // of the intervals
	}{
		"empty":            {},
		"good":             {content: begin + end, count: 1},
		"again":            {content: begin + end + begin + end, count: 2}, // the same identity and pid in another life
		"unfinished end":   {content: begin + strings.TrimSuffix(end, "\n"), count: 1},
		"unfinished begin": {content: begin[:20]},
		"torn inside":      {content: begin[:20] + "\n" + begin + end, want: ":1: ", count: 1},
		"no JSON":          {content: begin + "hello\n" + end, want: ":2: ", count: 1},
		"end only":         {content: end, want: "without a beginning"},
		"two ends":         {content: begin + end + end, want: ":3: sync 1 of a ends without a beginning", count: 1},
		"two begins":       {content: begin + begin, want: "begins twice", count: 1},
		"other object":     {content: begin + strings.Replace(end, `"uid":"x"`, `"uid":"y"`, 1), want: "another object", count: 1},
		"backwards":        {content: begin + strings.Replace(end, `"time":6`, `"time":4`, 1), want: "set back", count: 1},
		"no uid":           {content: strings.Replace(begin, `"uid":"x"`, `"uid":""`, 1), want: "missing"},
		"unknown event":    {content: strings.Replace(begin, `"begin"`, `"pause"`, 1), want: `unknown event "pause"`},
		"unknown field":    {content: strings.Replace(begin, `"pid"`, `"p"`, 1), want: `unknown field "p"`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "record")
			if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			intervals, err := Read(path)
			if len(intervals) != tc.count {
				t.Errorf("%d intervals, want %d", len(intervals), tc.count)
			}
			if (err != nil) != (tc.want != "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := Read(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error("the error does not tell that the file does not exist")
	}
}

// TestReadWhileWriting: work that begins while logs are read does not count, the end of work that had begun does.
func TestReadWhileWriting(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	w, err := Open(path, alice)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	endX, err := w.Begin(object("x"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	endY, err := w.Begin(object("y"))
	if err := errors.Join(err, endX(), endY()); err != nil {
		t.Fatal(err)
	}
	got, err := readFile(path, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].UID != "uid-x" || got[0].End.IsZero() {
		t.Errorf("got %v, want only what had begun, with its end", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "record"), Worker{}); err == nil {
		t.Error("no error without a Holder")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "no", "record"), alice); err == nil {
		t.Error("no error for a directory that does not exist")
	}
}
