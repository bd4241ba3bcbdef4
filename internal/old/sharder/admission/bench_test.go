package admission

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sort"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/old/ring"
	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
)

// rebuilding finds a snapshot as a handler would that keeps none: it builds a token ring of the members for each request,
// with 100 tokens each, and hands out a snapshot in which the owner of the next object stands for all. It is what the
// benchmarks compare with; only what it costs matters.
type rebuilding struct {
	ring *snapshot.Ring
}

func (r rebuilding) Get(string) (*snapshot.Ring, bool) {
	tokens := newTokenRing(r.ring.Members.Members())
	if tokens.owner("example.com/Foo/team-a/some-object") == "" {
		return nil, false
	}
	return r.ring, true
}

type tokenRing struct {
	hashes []uint64
	owners map[uint64]string
}

func newTokenRing(members []ring.Member) *tokenRing {
	t := &tokenRing{owners: map[uint64]string{}}
	for _, m := range members {
		for i := range 100 {
			h := hash(m.Name + "-" + strconv.Itoa(i))
			t.hashes = append(t.hashes, h)
			t.owners[h] = m.Name
		}
	}
	slices.Sort(t.hashes)
	return t
}

func (t *tokenRing) owner(key string) string {
	h := hash(key)
	i := sort.Search(len(t.hashes), func(i int) bool { return t.hashes[i] >= h })
	return t.owners[t.hashes[i%len(t.hashes)]]
}

func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return h.Sum64()
}

// variants are the handlers that are compared.
func variants(b *testing.B, run func(b *testing.B, h http.Handler)) {
	for _, n := range []int{3, 100, 1000} {
		r := newRing(b, "r", n)
		for name, source := range map[string]Rings{"snapshot": rings{"r": r}, "rebuilt": rebuilding{r}} {
			b.Run(fmt.Sprintf("shards=%d/ring=%s", n, name), func(b *testing.B) {
				h, err := New(Config{Rings: source})
				if err != nil {
					b.Fatal(err)
				}
				run(b, h)
			})
		}
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkHandler measures the handler alone, without HTTP and TLS.
func BenchmarkHandler(b *testing.B) {
	body := reviewOf(b, foos, "team-a", realisticMetadata())
	variants(b, func(b *testing.B, h http.Handler) {
		reader := bytes.NewReader(body)
		r := httptest.NewRequest(http.MethodPost, Path("r"), io.NopCloser(reader))
		r.Header.Set("Content-Type", "application/json")
		w := discard{http.Header{}}
		b.ReportAllocs()
		b.SetBytes(int64(len(body)))
		for b.Loop() {
			reader.Reset(body)
			h.ServeHTTP(w, r)
		}
	})
}

// BenchmarkHTTPS measures requests through a real Server, eight at a time over connections that are kept, with the CPU time
// of the whole process per request: that of the server, and about as much again of the client in the benchmark.
func BenchmarkHTTPS(b *testing.B) {
	body := reviewOf(b, foos, "team-a", realisticMetadata())
	variants(b, func(b *testing.B, h http.Handler) {
		url, client := serve(b, h)
		b.SetParallelism(4)
		before := cpuTime(b)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				response, err := client.Post(url+Path("r"), "application/json", bytes.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				if response.StatusCode != http.StatusOK {
					b.Errorf("status %d", response.StatusCode)
				}
			}
		})
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/request")
	})
}

// serve starts a Server and returns its URL and a client that trusts it.
func serve(t testing.TB, h http.Handler) (string, *http.Client) {
	t.Helper()
	certificate := testCertificate(t)
	s, err := NewServer(t.Context(), ServerConfig{
		Address: "127.0.0.1:0", Handler: h, DrainDelay: time.Millisecond,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	runServer(t, s)
	return "https://" + s.Addr().String(), newClient(t, certificate)
}

func newClient(t testing.TB, certificate *tls.Certificate) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	transport := &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, ServerName: "localhost"},
		MaxIdleConnsPerHost: 16,
		ForceAttemptHTTP2:   true, // as the API server does
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: 10 * time.Second}
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
