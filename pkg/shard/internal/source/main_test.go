package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/ring"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) {
	// One of them sleeps until a while after the last error. In a bubble, whose clock begins in 2000, that can be decades.
	utilruntime.ErrorHandlers = nil
	testenv.Main(leakChecked{m}, &cluster, testenv.Options{CRDs: []string{}, WithoutControllerManager: true})
}

// leakChecked fails when tests leave goroutines behind, other than those of connections that client-go keeps open, and of
// the control plane.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	before := goleak.IgnoreCurrent()
	if code := l.m.Run(); code != 0 {
		return code
	}
	if err := goleak.Find(before,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*clientConnReadLoop).run"),
		goleak.IgnoreAnyFunction("net/http/internal/http2.(*clientConnReadLoop).run"),
	); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Wait waits until slots are synced.
func (i *Informer) Wait(ctx context.Context, slots ring.Slots) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		synced, err := i.Synced()
		missing := slots.Minus(synced)
		if missing.Empty() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("wait for the objects of %d slots: %w", missing.Len(), ctx.Err()), err)
		}
	}
}
