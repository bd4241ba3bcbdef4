package cases

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
	"github.com/clusterring/clusterring/pkg/sharder/admission"
	"github.com/clusterring/clusterring/pkg/wire"
)

// limit is what the sharder may have.
const limit = 128 << 20

// TestMemory (case 18): 200 creates of 1 MiB at the same time, objects with annotations of 200 kB that are written again and again
// and audited, and a stranger's bodies of 8 MiB. The sharder stays below 128 MiB: the kernel would kill it where there are cgroups,
// and its peak is looked at in any case.
func TestMemory(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	t.Setenv("GOMEMLIMIT", "96MiB") // of the sharder
	w := newWorldAlone(t, true)
	w.limitMemory()
	configs := w.kube.CoreV1().ConfigMaps(w.namespace)
	annotated := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Name: name, Annotations: map[string]string{"text": strings.Repeat("a", 200_000)},
		}}
	}
	each := func(n int, do func(i int) error) {
		t.Helper()
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				if err := do(i); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	each(100, func(i int) error { // before the ring, for the audit
		_, err := configs.Create(t.Context(), annotated(fmt.Sprint("annotated-", i)), metav1.CreateOptions{})
		return err
	})
	w.createRing(ownersAndChildren())
	w.awaitAdmission()
	testenv.Poll(t, timeout, func(ctx context.Context) error {
		list, err := w.kube.CoreV1().ConfigMaps(w.namespace).List(ctx, metav1.ListOptions{LabelSelector: wire.UnlabelledSelector(w.ring).String()})
		for _, object := range list.Items {
			if strings.HasPrefix(object.Name, "annotated-") {
				return fmt.Errorf("%s has no label", object.Name)
			}
		}
		return err
	})
	each(100, func(i int) error {
		changed := annotated(fmt.Sprint("annotated-", i))
		changed.Labels = map[string]string{wire.SlotLabel(w.ring): "1023"} // which the sharder corrects
		_, err := configs.Update(t.Context(), changed, metav1.UpdateOptions{})
		return err
	})

	// The API server of a small machine does not get 200 of these under way at the same time, so most come as it would send them.
	text := strings.Repeat("a", 1<<20-4096)
	each(20, func(i int) error {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("large-", i)}, Data: map[string]string{"text": text}}
		_, err := configs.Create(t.Context(), object, metav1.CreateOptions{})
		return err
	})
	const head = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","namespace":"%s","name":"a","kind":{"version":"v1","kind":"ConfigMap"},"resource":{"version":"v1","resource":"configmaps"},"object":{"metadata":{"name":"a","namespace":"%[1]s"`
	honest := fmt.Sprintf(head, w.namespace) + `},"data":{"text":"` + text + `"}}}}`
	if n := w.review(200, honest); n != 200 {
		t.Errorf("%d of 200 objects got a label", n)
	}
	// A stranger, who reaches the port.
	hostile := fmt.Sprintf(head, w.namespace) + `,"ownerReferences":[`
	hostile += strings.Repeat(`{},`, (8<<20-len(hostile))/3-8) + `{}]}}}}`
	w.review(20, hostile)
	w.awaitLabel(w.namespace, w.create(w.namespace, "after", 1)[0])
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.sharder.PID()))
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if peak == nil {
		t.Fatalf("no peak in %s", status)
	}
	kib, _ := strconv.Atoi(string(peak[1]))
	t.Logf("peak of resident memory: %d MiB", kib>>10)
	if kib<<10 > limit {
		t.Errorf("the sharder took %d MiB", kib>>10)
	}
}

// review sends a body to admission, as often as that at the same time, and returns how many answers have a patch.
func (w *world) review(n int, body string) (patched int) {
	w.Helper()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec
	var sending sync.WaitGroup
	var mu sync.Mutex
	answers := 0
	for range n {
		sending.Go(func() {
			send := func() (*http.Response, error) {
				return client.Post(w.sharder.webhook+admission.Path(w.ring), "application/json", strings.NewReader(body))
			}
			response, err := send()
			// It closes connections that it does not like, or that take more than ten seconds, as all may on a slow machine.
			for again := 0; err != nil && again < 20; again++ {
				response, err = send()
			}
			if err != nil {
				return
			}
			defer response.Body.Close()
			answer, err := io.ReadAll(response.Body)
			mu.Lock()
			defer mu.Unlock()
			if answers++; err == nil && strings.Contains(string(answer), `"patch"`) {
				patched++
			}
		})
	}
	sending.Wait()
	if answers == 0 {
		w.Error("there was no answer, so this shows nothing")
	}
	return patched
}

// limitMemory puts the sharder into a cgroup that has as much memory as it may have, where this process may make one.
func (w *world) limitMemory() {
	w.Helper()
	for root, file := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		dir := filepath.Join(root, w.ring)
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil || os.Mkdir(dir, 0o755) != nil {
			continue
		}
		w.Cleanup(func() {
			_ = os.WriteFile(filepath.Join(root, "cgroup.procs"), []byte(strconv.Itoa(w.sharder.PID())), 0o600)
			_ = os.Remove(dir)
		})
		if os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(limit)), 0o600) == nil &&
			os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(w.sharder.PID())), 0o600) == nil {
			w.Logf("the sharder is in a cgroup with %d MiB", limit>>20)
			return
		}
	}
	w.Log("no cgroup could be made: the peak is looked at afterwards")
}
