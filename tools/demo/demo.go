package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/internal/procs"
	fooclient "github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/tools/demo/internal/census"
	"github.com/clusterring/clusterring/tools/demo/internal/checks"
	"github.com/clusterring/clusterring/tools/demo/internal/story"
)

// demo is one run: what was started, and what is known of it.
type demo struct {
	opts options
	out  *story.Teller
	dir  string

	// The control plane ends after the programs that use it.
	controlPlane, programs *procs.Group

	config *rest.Config // of the administrator
	kube   kubernetes.Interface
	foo    fooclient.Interface
	census *census.Census

	webhook  string // address that all sharders share
	web      *http.Client
	sharders []sharder                 // also those that have ended
	shards   map[string]*procs.Process // by name
	members  []string                  // names of the shards that live

	traffic   *traffic
	stopEdits func()
	movements []checks.Movement

	mu       sync.Mutex
	expected map[*procs.Process]expectation // processes that were told to end

	background       sync.WaitGroup
	cancelBackground context.CancelFunc
	abort            context.CancelCauseFunc // ends the chapter that is being played
}

// expectation is how a process that was told to end should do so.
type expectation string

const (
	expectKilled expectation = "killed"
	expectExit0  expectation = "exit status 0"
)

func newDemo(opts options, out *story.Teller) (*demo, error) {
	dir := opts.dir
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "clusterring-demo-"); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &demo{
		opts: opts, out: out, dir: dir, controlPlane: procs.NewGroup(), programs: procs.NewGroup(),
		shards: map[string]*procs.Process{}, expected: map[*procs.Process]expectation{},
		web:       &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		stopEdits: func() {}, cancelBackground: func() {},
	}, nil
}

// play tells all chapters and checks what is left in the end. failed is the number of checks that failed.
func (d *demo) play(ctx context.Context) (failed int, err error) {
	ctx, d.abort = context.WithCancelCause(ctx)
	for _, c := range chapters {
		d.out.Chapter(c.title, c.text)
		if err := c.play(ctx, d); err != nil {
			return 0, fmt.Errorf("%s: %w", c.title, cmp.Or(context.Cause(ctx), err))
		}
	}
	return d.judge(ctx)
}

// close ends everything that was started. The directory is removed unless it should be kept.
func (d *demo) close(keepDir bool) error {
	d.stopEdits()
	d.cancelBackground()
	d.background.Wait()
	errs := []error{d.programs.Stop(10 * time.Second), d.controlPlane.Stop(20 * time.Second)}
	if !keepDir {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}

// expect notes that a process will end, and how. It must be called before the process is told to.
func (d *demo) expect(p *procs.Process, e expectation) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expected[p] = e
}

func (d *demo) expectation(p *procs.Process) expectation {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expected[p]
}

// watchOver ends the demo when a process ends that was not told to: what happens then would be beside the point.
func (d *demo) watchOver(p *procs.Process) {
	go func() {
		<-p.Done()
		if d.expectation(p) == "" {
			d.abort(fmt.Errorf("%s has ended: %w; the end of its log is: %s", p.Name(), cmp.Or(p.Err(), errors.New("status 0")), p.Tail(2)))
		}
	}()
}

// path returns a path in the directory of the demo.
func (d *demo) path(elements ...string) string {
	return filepath.Join(append([]string{d.dir}, elements...)...)
}

// await waits until cond holds and returns when it began to. what is what is waited for, live how far it has come.
func (d *demo) await(ctx context.Context, what string, live func(*census.State) string, cond func(*census.State) bool) (time.Time, error) {
	text := func() (text string) {
		d.census.View(func(s *census.State) { text = live(s) })
		return text
	}
	stop := d.out.Live(func() string { return what + ": " + text() })
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, d.opts.patience, fmt.Errorf("waited %v", d.opts.patience))
	defer cancel()
	at, err := d.census.Await(ctx, cond)
	if err != nil {
		return at, fmt.Errorf("%s: %w: %s", what, context.Cause(ctx), text())
	}
	return at, nil
}

// settle waits until each of the shards has its part of the slots, and every Foo and its Deployment have the label of theirs.
func (d *demo) settle(ctx context.Context, shards []string) (time.Time, error) {
	at, err := d.await(ctx, "moving",
		func(s *census.State) string { return s.ToGo(shards).String() },
		func(s *census.State) bool { return s.ToGo(shards) == census.ToGo{} })
	if err != nil {
		d.census.View(func(s *census.State) { err = fmt.Errorf("%w: %s", err, strings.Join(s.Misplaced(5), "; ")) })
	}
	return at, err
}

// table shows what the shards have. gone are shards that are not alive any more.
func (d *demo) table(gone ...string) {
	foos, deployments, total := map[string]int{}, map[string]int{}, 0
	d.census.View(func(s *census.State) {
		total = len(s.Foos)
		for _, o := range s.Foos {
			foos[s.Shard(o)]++
		}
		for _, o := range s.Deployments {
			deployments[s.Shard(o)]++
		}
	})
	var shares []story.Share
	for _, name := range slices.Sorted(slices.Values(append(slices.Clone(gone), d.members...))) {
		share := story.Share{Shard: name, Foos: foos[name], Deployments: deployments[name], Note: "gone"}
		if slices.Contains(d.members, name) {
			share.Ideal, share.Note = float64(total)/float64(len(d.members)), ""
		}
		shares = append(shares, share)
	}
	if foos[""] > 0 {
		shares = append(shares, story.Share{Shard: "(none)", Foos: foos[""], Deployments: deployments[""], Note: "without a label"})
	}
	d.out.Shares(shares)
}
