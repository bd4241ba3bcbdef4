package strip

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/wire"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/scope"
	"github.com/clusterring/clusterring/tools/kubectl-clusterring/internal/text"
)

const (
	// pageSize is how many objects are read at a time, and workers how many are changed at a time.
	pageSize = 100
	workers  = 8
)

// stripper takes the labels off.
type stripper struct {
	ring           string
	reader, writer metadata.Interface
	dryRun         bool
	show           func(string, ...any)

	mu          sync.Mutex
	done, total int
	tried       map[types.UID]bool
	report      *Report
}

// run returns what was done even if there is an error.
func (s *stripper) run(ctx context.Context, of []resources.Resource) (*Report, error) {
	s.report = &Report{Ring: s.ring, Label: wire.SlotLabel(s.ring), DryRun: s.dryRun, Resources: make([]Resource, len(of)), Failures: []Failure{}}
	for i, r := range of {
		s.report.Resources[i].Resource = r.GroupResource().String()
		found := &s.report.Resources[i].Labelled
		err := scope.Read(ctx, s.reader, r, s.report.Label, func() { *found = 0 }, func(context.Context, *metav1.PartialObjectMetadata) error {
			*found++
			s.show("counting: %d %s", *found, r.GroupResource())
			return nil
		})
		if err != nil {
			return nil, err
		}
		s.total += *found
	}
	var errs []error
	for i, r := range of {
		s.tried = map[types.UID]bool{}
		// One resource says nothing about the others.
		errs = append(errs, s.resource(ctx, r, &s.report.Resources[i]))
	}
	return s.report, errors.Join(errs...)
}

// resource works on one resource, page by page. If that takes longer than the API server remembers where it was, it begins
// again with what still has the label and was not tried yet.
func (s *stripper) resource(ctx context.Context, r resources.Resource, to *Resource) error {
	opts := metav1.ListOptions{LabelSelector: s.report.Label, Limit: pageSize}
	for {
		list, err := s.reader.Resource(r.GVR).List(ctx, opts)
		if apierrors.IsResourceExpired(err) && opts.Continue != "" {
			opts.Continue = ""
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", r.GroupResource(), err)
		}
		s.page(ctx, r, list.Items, to)
		if err := ctx.Err(); err != nil {
			return err
		}
		if opts.Continue = list.Continue; opts.Continue == "" {
			return nil
		}
	}
}

func (s *stripper) page(ctx context.Context, r resources.Resource, objects []metav1.PartialObjectMetadata, to *Resource) {
	var wg sync.WaitGroup
	queue := make(chan *metav1.PartialObjectMetadata)
	for range workers {
		wg.Go(func() {
			for o := range queue {
				err := s.object(ctx, r, o)
				if ctx.Err() != nil {
					continue // It may have been done or not; the next run finds out.
				}
				s.note(o, err, to)
			}
		})
	}
	for i := range objects {
		if o := &objects[i]; !s.tried[o.UID] && ctx.Err() == nil {
			s.tried[o.UID] = true
			queue <- o
		}
	}
	close(queue)
	wg.Wait()
}

func (s *stripper) note(o *metav1.PartialObjectMetadata, err error, to *Resource) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done++; err == nil {
		to.Stripped++
	} else {
		s.report.Failures = append(s.report.Failures, Failure{Resource: to.Resource, Namespace: o.Namespace, Name: o.Name, Error: err.Error()})
	}
	share := float64(s.done) / float64(max(s.done, s.total))
	s.show("%-30s %3.0f %% of %d, %d refused", text.Bar(share, 30), 100*share, max(s.done, s.total), len(s.report.Failures))
}

// object takes the label off one object, unless another one has its name by now.
func (s *stripper) object(ctx context.Context, r resources.Resource, o *metav1.PartialObjectMetadata) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": o.UID, "labels": map[string]any{s.report.Label: nil},
	}})
	if err != nil {
		return err
	}
	opts := metav1.PatchOptions{FieldManager: "kubectl-clusterring"}
	if s.dryRun {
		opts.DryRun = []string{metav1.DryRunAll}
	}
	got, err := s.writer.Resource(r.GVR).Namespace(o.Namespace).Patch(ctx, o.Name, types.MergePatchType, patch, opts)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case apierrors.IsConflict(err): // Another object has its name by now, or it is changed all the time.
		now, getErr := s.reader.Resource(r.GVR).Namespace(o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(getErr) || getErr == nil && now.UID != o.UID {
			return nil
		}
		return err
	case err != nil:
		return err
	}
	if _, ok := got.Labels[s.report.Label]; ok {
		return errors.New("the API server took the request, and the label is still there: a policy or webhook puts it back")
	}
	return nil
}
