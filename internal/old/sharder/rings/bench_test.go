package rings

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// BenchmarkCreate measures what a create takes with and without the webhook, through the real API server.
func BenchmarkCreate(b *testing.B) {
	s := ready(b)
	config := cluster.Config()
	config.QPS = -1
	client := must(kubernetes.NewForConfig(config))(b)
	for _, clients := range []int{1, 8} {
		for name, namespace := range map[string]string{"none": cluster.Namespace(b), "sharder": s.namespace} {
			b.Run(fmt.Sprintf("clients=%d/webhook=%s", clients, name), func(b *testing.B) {
				var mu sync.Mutex
				var took []time.Duration
				next := make(chan struct{})
				var wg sync.WaitGroup
				for range clients {
					wg.Go(func() {
						for range next {
							started := time.Now()
							secret, err := client.CoreV1().Secrets(namespace).Create(context.Background(),
								&corev1.Secret{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}, metav1.CreateOptions{})
							d := time.Since(started)
							if err != nil {
								b.Error(err)
								continue
							}
							if assigned := secret.Labels[v1alpha1.ShardLabel(s.name)] != ""; assigned != (name == "sharder") {
								b.Errorf("assigned is %v", assigned)
							}
							mu.Lock()
							took = append(took, d)
							mu.Unlock()
						}
					})
				}
				for b.Loop() {
					next <- struct{}{}
				}
				close(next)
				wg.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
				b.ReportMetric(float64(len(took))/b.Elapsed().Seconds(), "creates/s")
			})
		}
	}
}
