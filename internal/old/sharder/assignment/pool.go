package assignment

import (
	"context"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// backlog is how many objects may wait for a writer. It bounds the memory of a pass, and lets a stream of objects go on while
// the writers are busy.
const backlog = 2048

// pool runs tasks of a pass, as many at once as there are slots. All passes of a ring share its slots, so that no ring, however
// much has happened to it, has more requests under way than another may have.
type pool struct {
	tasks chan func(context.Context)
	wg    sync.WaitGroup
}

func newPool(ctx context.Context, slots chan struct{}) *pool {
	p := &pool{tasks: make(chan func(context.Context), backlog)}
	for range cap(slots) {
		p.wg.Go(func() {
			for task := range p.tasks {
				select {
				case slots <- struct{}{}:
					task(ctx)
					<-slots
				case <-ctx.Done():
				}
			}
		})
	}
	return p
}

// slotsOf returns the slots of a ring.
func (c *Controller) slotsOf(ring string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	slots, ok := c.slots[ring]
	if !ok {
		slots = make(chan struct{}, c.cfg.Writers)
		c.slots[ring] = slots
	}
	return slots
}

// submit has the task run soon. It waits while the backlog is full.
func (p *pool) submit(ctx context.Context, task func(context.Context)) error {
	select {
	case p.tasks <- task:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait returns when all tasks have ended. Nothing may be submitted afterwards.
func (p *pool) wait() {
	close(p.tasks)
	p.wg.Wait()
}

// slim returns what a task needs of an object. Annotations and managed fields can be large, and many objects may wait.
func slim(object *metav1.PartialObjectMetadata) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace:       object.Namespace,
		Name:            object.Name,
		UID:             object.UID,
		ResourceVersion: object.ResourceVersion,
		Labels:          object.Labels,
		OwnerReferences: object.OwnerReferences,
	}}
}
