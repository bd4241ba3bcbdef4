package admission

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkHandler measures the handler alone, without HTTP and TLS.
func BenchmarkHandler(b *testing.B) {
	large := realisticMetadata()
	large["annotations"] = map[string]any{"a": strings.Repeat("x", 500<<10)}
	for name, body := range map[string][]byte{
		"object=2kB": reviewOf(b, foos, "team-a", realisticMetadata()), "object=500kB": reviewOf(b, foos, "team-a", large),
	} {
		b.Run(name, func(b *testing.B) {
			h := newHandler(b, nil)
			reader := bytes.NewReader(body)
			r := httptest.NewRequest(http.MethodPost, Path("r"), io.NopCloser(reader))
			r.Header.Set("Content-Type", "application/json")
			w := discard{http.Header{}}
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				reader.Reset(body)
				r.Body = io.NopCloser(reader)
				h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkHTTPS measures requests through a real Server, eight at a time over connections that are kept, with the CPU time
// of the whole process per request: that of the server, and about as much again of the client in the benchmark.
func BenchmarkHTTPS(b *testing.B) {
	body := reviewOf(b, foos, "team-a", realisticMetadata())
	url, client := serve(b, newHandler(b, nil))
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
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
