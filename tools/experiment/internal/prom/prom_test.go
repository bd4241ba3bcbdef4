package prom

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"k8s.io/client-go/rest"
)

const timeout = time.Minute

// metrics serves a gauge that says which target it is, and one that carries an instance label of its own.
func metrics(value int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "value %d\nproxied{instance=\"other\"} 1\nunwanted_a 1\nunwanted_b 1\n", value)
	})
}

func start(t *testing.T, dir string) *Embedded {
	t.Helper()
	e, err := Start(t.Context(), Config{Dir: dir, Interval: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// eventually waits until the query gives what is wanted, as a map of instances to values.
func eventually(t *testing.T, e *Embedded, query string, want map[string]float64) {
	t.Helper()
	poll(t, func(ctx context.Context) error {
		got, err := instances(ctx, e, query, time.Now())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			return fmt.Errorf("%s: %v, (-want +got):\n%s", query, err, diff)
		}
		return nil
	})
}

// poll calls f until it returns nil.
func poll(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

type instanter interface {
	Instant(ctx context.Context, query string, at time.Time) (model.Value, error)
}

func instances(ctx context.Context, source instanter, query string, at time.Time) (map[string]float64, error) {
	value, err := source.Instant(ctx, query, at)
	if err != nil {
		return nil, err
	}
	got := map[string]float64{}
	for _, s := range value.(model.Vector) {
		got[string(s.Metric["instance"])] = float64(s.Value)
	}
	return got, nil
}

func TestTargetsComeAndGo(t *testing.T) {
	first, second := httptest.NewServer(metrics(1)), httptest.NewServer(metrics(2))
	defer first.Close()
	defer second.Close()
	dir := t.TempDir()
	e := start(t, dir)
	target := func(name, url string) Target {
		return Target{Job: "job", Instance: name, URL: url + "/metrics", Labels: map[string]string{"run_id": "r"}, Drop: "unwanted_.*"}
	}

	one, two := target("one", first.URL), target("two", second.URL)
	if err := e.SetTargets([]Target{one}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, `value{job="job", run_id="r"}`, map[string]float64{"one": 1})
	eventually(t, e, `{__name__=~"unwanted_.*"}`, map[string]float64{})
	eventually(t, e, `proxied`, map[string]float64{"other": 1})

	if err := e.SetTargets([]Target{one, two}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, `value`, map[string]float64{"one": 1, "two": 2})

	second.Close()
	eventually(t, e, `up{run_id="r"}`, map[string]float64{"one": 1, "two": 0})
	eventually(t, e, `value`, map[string]float64{"one": 1})
	poll(t, func(context.Context) error { // the first one may have been late once
		statuses := e.Statuses()
		if len(statuses) != 2 || statuses[0].Err != nil || statuses[1].Instance != "two" || statuses[1].Err == nil {
			return fmt.Errorf("Statuses() = %v, want the second one down", statuses)
		}
		return nil
	})

	if err := e.SetTargets([]Target{one}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, `up`, map[string]float64{"one": 1})

	at := time.Now()
	matrix, err := e.Range(t.Context(), `value{instance="one"}`, at.Add(-time.Second), at, 500*time.Millisecond)
	if err != nil || len(matrix) != 1 || len(matrix[0].Values) == 0 {
		t.Errorf("Range() = %v, %v; want one series with values", matrix, err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.SetTargets([]Target{one}); err == nil {
		t.Error("SetTargets() after Close() gave no error")
	}

	kept, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if got, err := instances(t.Context(), kept, `value`, at); err != nil || got["one"] != 1 {
		t.Errorf("after opening again: %v, %v; want the last value", got, err)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(metrics(1))
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 && r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		metrics(1).ServeHTTP(w, r)
	})
	server.StartTLS()
	defer server.Close()
	pair := server.TLS.Certificates[0]
	encode := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	ca := encode("CERTIFICATE", server.Certificate().Raw)
	withCert := rest.TLSClientConfig{CAData: ca, CertData: encode("CERTIFICATE", pair.Certificate[0]), KeyData: encode("PRIVATE KEY", key)}

	e := start(t, t.TempDir())
	if err := e.SetTargets([]Target{
		{Job: "job", Instance: "certificate", URL: server.URL + "/metrics", TLS: FromREST(&rest.Config{TLSClientConfig: withCert})},
		{Job: "job", Instance: "token", URL: server.URL + "/metrics", TLS: TLS{Insecure: true, Token: "secret"}},
		{Job: "job", Instance: "nobody", URL: server.URL + "/metrics", TLS: TLS{CA: string(ca)}},
		{Job: "job", Instance: "distrust", URL: server.URL + "/metrics", TLS: TLS{Token: "secret"}},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, e, `up{job="job"}`, map[string]float64{"certificate": 1, "token": 1, "nobody": 0, "distrust": 0})
}

func TestRefused(t *testing.T) {
	if _, err := Start(t.Context(), Config{Interval: -1}); err == nil {
		t.Error("Start() took a Config without Dir and with a negative Interval")
	}
	e := start(t, t.TempDir())
	for name, target := range map[string]Target{
		"no job":     {Instance: "a", URL: "http://localhost"},
		"no scheme":  {Job: "a", Instance: "a", URL: "localhost:80"},
		"bad drop":   {Job: "a", Instance: "a", URL: "http://localhost", Drop: "("},
		"no numbers": {Job: "a", Instance: "a", URL: "http://localhost:port"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := e.SetTargets([]Target{target}); err == nil {
				t.Error("no error")
			}
		})
	}
	if _, err := e.Instant(t.Context(), "sum(", time.Now()); err == nil {
		t.Error("Instant() took an invalid query")
	}
}

func TestRemote(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.FormValue("step") == "" {
			fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"instance":"a"},"value":[1,"2"]}]}}`)
			return
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"instance":"a"},"values":[[1,"2"],[2,"3"]]}]}}`)
	}))
	defer server.Close()
	remote, err := Remote(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, err := instances(t.Context(), remote, "x", time.Unix(1, 0))
	if diff := cmp.Diff(map[string]float64{"a": 2}, got); err != nil || diff != "" {
		t.Errorf("Instant(): %v, (-want +got):\n%s", err, diff)
	}
	matrix, err := remote.Range(t.Context(), "x", time.Unix(1, 0), time.Unix(2, 0), time.Second)
	if err != nil || len(matrix) != 1 || len(matrix[0].Values) != 2 {
		t.Errorf("Range() = %v, %v; want one series with two values", matrix, err)
	}
}
