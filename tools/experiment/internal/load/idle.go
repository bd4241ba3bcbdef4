package load

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	weblisters "github.com/clusterring/clusterring/examples/webhosting/generated/listers/webhosting/v1alpha1"
	"github.com/clusterring/clusterring/examples/webhosting/pkg/apis/webhosting/v1alpha1"
)

// idleRate is how many idle Websites are created per second, which costs a machine with two cores less than all it has.
const idleRate = 25

// quiet is how long nothing happens between the idle Websites and the load: so long that all processes were scraped, and what
// they count since the load began has none of what was before.
const quiet = 10 * time.Second

func rest(ctx context.Context) error {
	select {
	case <-time.After(quiet):
	case <-ctx.Done():
	}
	return nil
}

// createIdle creates the idle Websites and returns when all are ready. None of that is measured.
func (l *Load) createIdle(ctx context.Context, lister weblisters.WebsiteLister) error {
	if l.cfg.Idle == 0 {
		return nil
	}
	ticker := time.NewTicker(time.Second / idleRate)
	defer ticker.Stop()
	for range l.cfg.Idle {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
		if _, err := l.client.Create(ctx, newWebsite(l.websites.create()), metav1.CreateOptions{}); err != nil && ctx.Err() == nil {
			return fmt.Errorf("create an idle Website: %w", err)
		}
	}
	for {
		websites, err := lister.List(labels.Everything())
		if err != nil {
			return err
		}
		ready := 0
		for _, website := range websites {
			if website.Status.Phase == v1alpha1.PhaseReady {
				ready++
			}
		}
		if ready >= l.cfg.Idle {
			return rest(ctx)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		}
	}
}
