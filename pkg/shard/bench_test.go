package shard

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/pkg/ring"
)

func BenchmarkBegin(b *testing.B) {
	s, err := New(Config{Ring: "r", RESTConfig: &rest.Config{Host: "http://localhost"}, Namespace: "ns", Name: "a"})
	if err != nil {
		b.Fatal(err)
	}
	s.own(ring.AllSlots())
	r := s.Resource(configMapKind)
	obj := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "some-namespace", Name: "an-object-of-usual-length"}}
	for name, ctx := range map[string]context.Context{
		"ctx=Run":        context.WithValue(context.Background(), runKey{s}, true),
		"ctx=Background": context.Background(),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, done, ours := r.Begin(ctx, obj)
				if !ours {
					b.Fatal("not ours")
				}
				done()
			}
		})
	}
}
