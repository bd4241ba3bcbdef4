package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// Worker is who does the work: a process in a role.
type Worker struct {
	// Shard is the name of the shard; empty for a controller under leader election.
	Shard string `json:"shard,omitempty"`
	// Holder is the identity that is in the Lease, unique among all processes.
	Holder string `json:"holder"`
	// PID is the process id.
	PID int `json:"pid"`
}

const (
	eventBegin = "begin"
	eventEnd   = "end"
)

// line is one line of the log.
type line struct {
	Event string    `json:"event"`
	Sync  int64     `json:"sync"` // numbers what one Writer writes; an end has the number of its begin
	Time  int64     `json:"time"` // nanoseconds since 1970
	Key   string    `json:"key"`
	UID   types.UID `json:"uid"`
	Worker
}

// A Writer appends to a log. Its methods may be called concurrently. A nil Writer records nothing.
type Writer struct {
	file   *os.File
	worker Worker
	syncs  atomic.Int64
}

// Open opens the log, which is created if it does not exist. The worker's PID is that of this process if it is 0.
func Open(path string, worker Worker) (*Writer, error) {
	if worker.Holder == "" {
		return nil, errors.New("open record: the worker has no Holder")
	}
	if worker.PID == 0 {
		worker.PID = os.Getpid()
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open record: %w", err)
	}
	return &Writer{file: file, worker: worker}, nil
}

// Begin records that work on the object begins now. The caller must not work on it if there is an error, and must call end
// when the work is over, before it lets go of the object.
func (w *Writer) Begin(obj metav1.Object) (end func() error, err error) {
	if w == nil {
		return func() error { return nil }, nil
	}
	l := line{
		Event:  eventBegin,
		Sync:   w.syncs.Add(1),
		Key:    cache.MetaObjectToName(obj).String(),
		UID:    obj.GetUID(),
		Worker: w.worker,
	}
	if err := w.write(l); err != nil {
		return nil, err
	}
	return func() error {
		l.Event = eventEnd
		return w.write(l)
	}, nil
}

// Close closes the log.
func (w *Writer) Close() error {
	if w == nil {
		return nil
	}
	return w.file.Close()
}

func (w *Writer) write(l line) error {
	l.Time = time.Now().UnixNano()
	data, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("record the %s of work on %s: %w", l.Event, l.Key, err)
	}
	if _, err := w.file.Write(append(data, '\n')); err != nil {
		return fmt.Errorf("record the %s of work on %s: %w", l.Event, l.Key, err)
	}
	return nil
}
