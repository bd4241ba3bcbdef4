package labels

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Watch streams all objects, or fails.
func (s *server) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	if s.unreadable != nil {
		return nil, s.unreadable
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w := watch.NewFakeWithChanSize(len(s.labels)+1, false)
	for name, value := range s.labels {
		w.Add(s.objectWith(name, value))
	}
	w.Action(watch.Bookmark, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}})
	return w, nil
}

// TestUnreadStaysTold: what cannot be read is told until everything was read again. An audit of one namespace does not do that.
func TestUnreadStaysTold(t *testing.T) {
	withServer(t, func(t *testing.T, s *server) {
		s.set("a", "7")
		steps := []struct {
			namespace  string
			unreadable error
			want       string
		}{
			{"", nil, "AllLabelled"},
			{"", errors.New("unreadable"), "ResourceUnreadable"},
			{"ns", nil, "ResourceUnreadable"},
			{"", nil, "AllLabelled"},
			{"ns", errors.New("unreadable"), "ResourceUnreadable"},
			{"", nil, "AllLabelled"},
		}
		for i, step := range steps {
			s.unreadable = step.unreadable
			s.ring.audit(t.Context(), step.namespace)
			if s.ring.post(); s.told.Reason != step.want {
				t.Errorf("step %d: told %+v, want %s", i, s.told, step.want)
			}
		}
		time.Sleep(time.Second)
		if s.wrong() > 0 {
			t.Error("an audit does not mend what it finds")
		}
	})
}
