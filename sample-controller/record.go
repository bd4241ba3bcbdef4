package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// A recorder appends a line of JSON to a file when work on a Foo begins, and one when it ends. So others can see who worked
// on what, and when. Its methods may be called concurrently. A nil recorder records nothing.
type recorder struct {
	file          *os.File
	shard, holder string
	syncs         atomic.Int64
}

// event is one line.
type event struct {
	Event  string    `json:"event"` // begin or end
	Sync   int64     `json:"sync"`  // an end has the number of its beginning
	Time   int64     `json:"time"`  // nanoseconds since 1970
	Key    string    `json:"key"`
	UID    types.UID `json:"uid"`
	Shard  string    `json:"shard,omitempty"`
	Holder string    `json:"holder"` // of the Lease
	PID    int       `json:"pid"`
}

// newRecorder opens the file. Without a path it returns nil.
func newRecorder(path, shard, holder string) (*recorder, error) {
	if path == "" {
		return nil, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &recorder{file: file, shard: shard, holder: holder}, nil
}

// begin records that work on the object begins. The caller must not work on it if there is an error, and must call end
// when the work is over.
func (r *recorder) begin(object metav1.Object) (end func() error, err error) {
	if r == nil {
		return func() error { return nil }, nil
	}
	e := event{
		Event: "begin", Sync: r.syncs.Add(1), Key: cache.MetaObjectToName(object).String(), UID: object.GetUID(),
		Shard: r.shard, Holder: r.holder, PID: os.Getpid(),
	}
	end = func() error {
		e.Event = "end"
		return r.write(e)
	}
	return end, r.write(e)
}

// write writes one line with one write, so that lines of several processes do not mix.
func (r *recorder) write(e event) error {
	e.Time = time.Now().UnixNano()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = r.file.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("record the %s of work on %s: %w", e.Event, e.Key, err)
	}
	return nil
}

func (r *recorder) close() {
	if r != nil {
		_ = r.file.Close()
	}
}
