package lease

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func TestFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		rt, _ := api.roundTripper()
		client := clientOver(t, l.Fence(rt)).CoordinationV1().Leases("ns")
		ctx := t.Context()
		check := func(when string, wantWrites bool) {
			t.Helper()
			if _, err := client.Get(ctx, "other", metav1.GetOptions{}); err != nil {
				t.Errorf("%s: get: %v", when, err)
			}
			lease := api.get("other")
			begin := time.Now()
			_, err := client.Update(ctx, lease, metav1.UpdateOptions{})
			if (err == nil) != wantWrites || errors.Is(err, ErrNotHeld) == wantWrites {
				t.Errorf("%s: update: %v", when, err)
			}
			if took := time.Since(begin); took > 0 {
				t.Errorf("%s: update was tried for %s", when, took)
			}
		}
		api.setHolder("other", "x")
		check("before Run", false)

		r := start(t, l, true)
		<-r.started
		check("during the work", true)
		r.cancel()
		<-r.work.Done()
		check("while it ends", true)
		r.finish()
		<-r.returned
		check("after the release", false)
	})
}

func TestFenceClosesAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		rt, _ := api.roundTripper()
		client := clientOver(t, l.Fence(rt)).CoordinationV1().Leases("ns")
		api.setHolder("other", "x")
		r := start(t, l, true)
		<-r.started
		synctest.Wait() // The elector renews at once, which is not what the test is about.
		f.set(hang, nil)
		deadline := l.Deadline()
		for {
			_, err := client.Update(t.Context(), api.get("other"), metav1.UpdateOptions{})
			if err != nil {
				if !errors.Is(err, ErrNotHeld) {
					t.Error(err)
				}
				break
			}
			if !time.Now().Before(deadline) {
				t.Fatal("written after the deadline")
			}
			time.Sleep(100 * time.Millisecond)
		}
		r.finish()
		<-r.returned
	})
}

// A write that waits for a connection, or for an answer, must not be sent or waited for once the Lease is lost.
func TestFenceCancelsWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, f := testLease(t, api, "me")
		rt, slow := api.roundTripper()
		client := clientOver(t, l.Fence(rt)).CoordinationV1().Leases("ns")
		api.setHolder("other", "x")
		r := start(t, l, true)
		<-r.started
		synctest.Wait() // The elector renews at once, which is not what the test is about.
		slow.set(delay(time.Hour), nil)
		f.set(hang, nil)
		before := api.get("other").ResourceVersion
		deadline := l.Deadline()
		_, err := client.Update(t.Context(), api.get("other"), metav1.UpdateOptions{})
		if !errors.Is(err, ErrNotHeld) || time.Now().After(deadline) || api.get("other").ResourceVersion != before {
			t.Errorf("error %v, %s before the deadline", err, time.Until(deadline))
		}
		r.finish()
		<-r.returned
	})
}

// The Lease is looked at once more when the bytes are about to leave: the process may have been paused since the fence let
// the request pass, with nothing that could cancel it.
func TestFenceLooksAgainWhenTheBodyIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newFakeAPI()
		l, _ := testLease(t, api, "me")
		var pause atomic.Int64
		real := l.clock
		l.clock = func() instant { return real().add(time.Duration(pause.Load())) }
		sent, tried := false, make(chan struct{})
		transport := l.Fence(roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			defer close(tried)
			pause.Store(int64(time.Minute))
			defer pause.Store(0)
			_, err := io.ReadAll(req.Body)
			sent = err == nil
			if again, _ := req.GetBody(); again != nil {
				if _, err := io.ReadAll(again); err == nil {
					sent = true
				}
			}
			return nil, err
		}))
		var refused error // Run may notice the loss as well, return that, and end the context.
		err := l.Run(t.Context(), func(ctx context.Context) error {
			synctest.Wait() // The elector renews at once, and would do so by the clock after the pause.
			req, _ := http.NewRequestWithContext(ctx, http.MethodPatch, "http://fake/x", strings.NewReader("{}"))
			_, refused = transport.RoundTrip(req)
			<-tried // It may go on after that.
			return refused
		})
		if sent || err == nil || !errors.Is(refused, ErrNotHeld) && !errors.Is(refused, context.Canceled) {
			t.Errorf("sent %v, request %v, Run %v", sent, refused, err)
		}
	})
}

// The same with real connections, HTTP/1.1 and HTTP/2: what the fence does to requests must suit net/http.
func TestFenceOverTheNetwork(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			api := newFakeAPI()
			api.setHolder("other", "x")
			received, release := make(chan string, 10), make(chan struct{})
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				body, err := io.ReadAll(req.Body)
				if err != nil {
					return
				}
				received <- req.Proto
				if req.URL.Query().Get("fieldManager") == "slow" {
					select {
					case <-release:
					case <-req.Context().Done():
						return
					}
				}
				resp := api.serve(req, body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(resp.StatusCode)
				_, _ = io.Copy(w, resp.Body)
			}))
			server.EnableHTTP2 = http2
			server.StartTLS()
			defer server.Close()
			defer close(release)

			l, _ := testLease(t, api, "me")
			config := &rest.Config{Host: server.URL, QPS: -1, TLSClientConfig: rest.TLSClientConfig{Insecure: true}}
			if !http2 {
				config.NextProtos = []string{"http/1.1"}
			}
			config.ContentType, config.AcceptContentTypes = "application/json", "application/json"
			// A transport of its own, so that its connections can be closed.
			config.Dial = (&net.Dialer{}).DialContext
			config.Wrap(l.Fence)
			httpClient, err := rest.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			defer httpClient.CloseIdleConnections()
			clientset, err := kubernetes.NewForConfigAndClient(config, httpClient)
			if err != nil {
				t.Fatal(err)
			}
			client := clientset.CoordinationV1().Leases("ns")

			r := start(t, l, true)
			<-r.started
			if _, err := client.Update(t.Context(), api.get("other"), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			if proto := <-received; !strings.HasPrefix(proto, name) {
				t.Fatalf("spoke %s", proto)
			}
			result := make(chan error, 1)
			go func() {
				_, err := client.Update(context.Background(), api.get("other"), metav1.UpdateOptions{FieldManager: "slow"})
				result <- err
			}()
			<-received
			_ = l.lose(errors.New("test"))
			if err := <-result; !errors.Is(err, ErrNotHeld) {
				t.Errorf("under way: %v", err)
			}
			if err := client.Delete(t.Context(), "other", metav1.DeleteOptions{}); !errors.Is(err, ErrNotHeld) {
				t.Errorf("afterwards: %v", err)
			}
			if _, err := client.Get(t.Context(), "other", metav1.GetOptions{}); err != nil {
				t.Errorf("reading: %v", err)
			}
			r.finish()
			<-r.returned
		})
	}
}
