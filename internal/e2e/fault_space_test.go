package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/internal/testenv"
)

// quota is the space that etcd has in TestFaultNoSpace.
const quota = 24 << 20

// TestFaultNoSpace: etcd is out of space for longer than all Leases last, so that nobody can write anything, and an operator
// makes space. It has a control plane of its own, since all tests at once would suffer from it.
func TestFaultNoSpace(t *testing.T) {
	testenv.Require(t, cluster)
	cluster.RequireControl(t)
	own, err := testenv.Start(t.Context(), testenv.Options{EtcdArgs: []string{fmt.Sprintf("--quota-backend-bytes=%d", quota)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(); err != nil {
			t.Error(err)
		}
	})
	operator := newEtcdOperator(t, own.Dir())
	runFault(t, own, fault{outage: true, inject: func(s *system) {
		filled := s.fill()
		s.Logf("etcd is out of space after %d more objects", filled)
		s.outlast(outlasting)
		for _, r := range s.sharders {
			if !r.Running() {
				s.Errorf("%s has ended: %v", r.Name(), r.Err())
			}
		}
		// Objects can be deleted, and that's where a person would begin.
		secrets := s.kube.CoreV1().Secrets(s.system)
		if err := secrets.DeleteCollection(s.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: ballast}); err != nil {
			s.Fatal(err)
		}
		operator.makeSpace(s.Context())
	}})
}

// ballast is the label of what only takes space.
const ballast = "ballast"

// fill creates objects until etcd refuses them, and returns their number.
func (s *system) fill() (n int) {
	s.Helper()
	data := bytes.Repeat([]byte{'x'}, 500<<10)
	testenv.Poll(s.T, settleTimeout, func(ctx context.Context) error {
		_, err := s.kube.CoreV1().Secrets(s.system).Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "ballast-", Labels: map[string]string{ballast: ""}},
			Data:       map[string][]byte{"data": data},
		}, metav1.CreateOptions{})
		switch {
		case err == nil:
			n++
			return fmt.Errorf("etcd takes more than %d objects", n)
		case strings.Contains(err.Error(), "database space exceeded"):
			return nil
		default:
			return err
		}
	})
	return n
}

// etcdOperator does what an operator does with etcdctl, through the same API in JSON.
type etcdOperator struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newEtcdOperator(t *testing.T, dir string) *etcdOperator {
	t.Helper()
	var state struct {
		Ports struct {
			Etcd int `json:"etcd"`
		} `json:"ports"`
	}
	raw, err1 := os.ReadFile(filepath.Join(dir, "state.json"))
	pki := func(name string) string { return filepath.Join(dir, "pki", name) }
	ca, err2 := os.ReadFile(pki("etcd-ca.crt"))
	certificate, err3 := tls.LoadX509KeyPair(pki("etcd-client.crt"), pki("etcd-client.key"))
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(ca)
	return &etcdOperator{t: t, url: fmt.Sprintf("https://127.0.0.1:%d", state.Ports.Etcd), client: &http.Client{
		Timeout:   30 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{certificate}}},
	}}
}

// makeSpace forgets old revisions, gives what they took back, and calls off the alarm.
func (o *etcdOperator) makeSpace(ctx context.Context) {
	o.t.Helper()
	var status struct {
		Header struct {
			Revision string `json:"revision"`
		} `json:"header"`
	}
	o.call(ctx, "/v3/maintenance/status", map[string]any{}, &status)
	o.call(ctx, "/v3/kv/compaction", map[string]any{"revision": status.Header.Revision, "physical": true}, nil)
	o.call(ctx, "/v3/maintenance/defragment", map[string]any{}, nil)
	var alarms struct {
		Alarms []map[string]any `json:"alarms"`
	}
	o.call(ctx, "/v3/maintenance/alarm", map[string]any{"action": "GET"}, &alarms)
	if len(alarms.Alarms) == 0 {
		o.t.Error("etcd has raised no alarm, so this shows nothing")
	}
	for _, alarm := range alarms.Alarms {
		alarm["action"] = "DEACTIVATE"
		o.call(ctx, "/v3/maintenance/alarm", alarm, nil)
	}
}

func (o *etcdOperator) call(ctx context.Context, path string, request map[string]any, response any) {
	o.t.Helper()
	body, err := json.Marshal(request)
	if err != nil {
		o.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url+path, bytes.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	resp, err := o.client.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		o.t.Fatalf("%s: %s, %v: %s", path, resp.Status, err, answer)
	}
	if response == nil {
		return
	}
	if err := json.Unmarshal(answer, response); err != nil {
		o.t.Fatalf("%s: %v: %s", path, err, answer)
	}
}
