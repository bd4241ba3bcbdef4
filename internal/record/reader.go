package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// An Interval is the time in which a worker worked on an object.
type Interval struct {
	// Key and UID are those of the object.
	Key string
	UID types.UID
	// Worker worked on it.
	Worker Worker
	// Begin is when the work began.
	Begin time.Time
	// End is when it ended. It is zero if the log does not tell: the work goes on, or the process was killed.
	End time.Time
}

// String describes the interval for a person.
func (i Interval) String() string {
	end := "open"
	if !i.End.IsZero() {
		end = i.End.Format(timeFormat)
	}
	return fmt.Sprintf("%s (pid %d) on %s from %s to %s", i.Worker.Holder, i.Worker.PID, i.Key, i.Begin.Format(timeFormat), end)
}

const timeFormat = "15:04:05.000000000"

// Read reads logs and returns the intervals in the order in which they began in each log. A log may hold lines of several
// workers, a worker's lines must all be in one log. The error names every line that makes no sense; what the others say
// is returned all the same.
//
// Logs may grow while they are read. Only what had begun before the first of them was read counts, with the ends that it has by
// then: otherwise work would seem to go on that ended after its log was read, and before work began that another log tells of.
func Read(files ...string) ([]Interval, error) {
	var (
		intervals []Interval
		errs      []error
	)
	sizes := make([]int64, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil { // otherwise reading it fails, too, or it is new
			sizes[i] = info.Size()
		}
	}
	for i, file := range files {
		read, err := readFile(file, sizes[i])
		intervals = append(intervals, read...)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return intervals, fmt.Errorf("read record: %w", err)
	}
	return intervals, nil
}

// readFile returns the intervals that begin in the first bytes of a log.
func readFile(path string, size int64) ([]Interval, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()

	p := parser{begun: map[syncID]int{}}
	var (
		errs  []error
		read  int64
		begun int // intervals
	)
	reader := bufio.NewReader(file)
	for number := 1; ; number++ {
		text, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// An unfinished line announces nothing yet, see the package comment.
			return p.intervals[:begun], errors.Join(errs...)
		}
		if err != nil {
			return p.intervals[:begun], errors.Join(append(errs, err)...)
		}
		if err := p.add(text); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, number, err))
		}
		if read += int64(len(text)); read <= size {
			begun = len(p.intervals)
		}
	}
}

// syncID identifies an interval in a log.
type syncID struct {
	worker Worker
	number int64
}

// parser makes intervals of lines.
type parser struct {
	intervals []Interval
	begun     map[syncID]int // index of the intervals that have not ended
}

func (p *parser) add(text []byte) error {
	var l line
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return err
	}
	if l.UID == "" || l.Holder == "" || l.Sync <= 0 || l.Time <= 0 {
		return errors.New("uid, holder, sync or time is missing")
	}
	id, at := syncID{l.Worker, l.Sync}, time.Unix(0, l.Time)
	i, open := p.begun[id]
	switch {
	case l.Event == eventBegin && open:
		return fmt.Errorf("sync %d of %s begins twice", l.Sync, l.Holder)
	case l.Event == eventBegin:
		p.begun[id] = len(p.intervals)
		p.intervals = append(p.intervals, Interval{Key: l.Key, UID: l.UID, Worker: l.Worker, Begin: at})
		return nil
	case l.Event == eventEnd && !open:
		return fmt.Errorf("sync %d of %s ends without a beginning", l.Sync, l.Holder)
	case l.Event == eventEnd:
		delete(p.begun, id)
		begun := &p.intervals[i]
		if begun.UID != l.UID {
			return fmt.Errorf("sync %d of %s ends on another object", l.Sync, l.Holder)
		}
		if at.Before(begun.Begin) {
			return fmt.Errorf("sync %d of %s ends before it begins: the clock was set back", l.Sync, l.Holder)
		}
		begun.End = at
		return nil
	default:
		return fmt.Errorf("unknown event %q", l.Event)
	}
}
