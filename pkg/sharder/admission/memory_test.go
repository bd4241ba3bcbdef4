package admission

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostile are bodies that cost a decoder that keeps what it reads many times their size.
func hostile(size int) map[string]string {
	fill := func(head, item, tail string) string {
		return head + strings.Repeat(item, (size-len(head)-len(tail))/len(item)) + tail
	}
	const head = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","resource":{"group":"example.com","resource":"foos"},"object":`
	return map[string]string{
		"owner references": fill(head+`{"metadata":{"name":"a","ownerReferences":[`, `{},`, `{}]}}}}`),
		"controllers":      fill(head+`{"metadata":{"name":"a","ownerReferences":[`, `{"controller":true,"name":"a"},`, `{}]}}}}`),
		"labels":           fill(head+`{"metadata":{"name":"a","labels":{`, `"a":"b",`, `"c":"d"}}}}}`),
		"objects":          fill(head+`{"metadata":{"name":"a"},"spec":[`, `{},`, `{}]}}}`),
		"depth":            fill(head, `{"metadata":`, ``),
		"brackets":         fill(head, `[`, ``),
		"a string":         fill(head+`{"metadata":{"name":"a"},"data":"`, `x`, `"}}}`),
		"a name":           fill(head+`{"metadata":{"name":"`, `x`, `"}}}}`),
		"a key":            fill(head+`{"metadata":{"`, `x`, `":1}}}}`),
		"escapes":          fill(head+`{"metadata":{"name":"`, `\u00e4`, `"}}}}`),
		"many keys":        fill(head+`{"metadata":{"name":"a"`, `,"name":"a"`, `}}}}`),
	}
}

// TestDecodingKeepsNothing: what a body costs does not depend on its size.
func TestDecodingKeepsNothing(t *testing.T) {
	for name, body := range hostile(8 << 20) {
		t.Run(name, func(t *testing.T) {
			s := new(scanner)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s.reset(strings.NewReader(body))
			_, _ = decode(s, slotLabel)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<10 {
				t.Errorf("%d KiB are kept", grown>>10)
			}
			// Strings that are read one after the other are garbage at once; their sum is a part of the body's size.
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
				t.Errorf("%d MiB were allocated in all", allocated>>20)
			}
		})
	}
}

const childVar = "CLUSTERRING_ADMISSION_CHILD"

// TestServeUntilKilled is the server of TestMemory, in a process of its own.
func TestServeUntilKilled(t *testing.T) {
	if os.Getenv(childVar) == "" {
		t.Skip("runs in the process that TestMemory starts")
	}
	url, _ := serve(t, newHandlerWithDefaults(t))
	fmt.Printf("serving on %s\n", url)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends
}

func newHandlerWithDefaults(t *testing.T) *Handler {
	h := newHandler(t, nil)
	h.cfg.MaxBodyBytes = 8 << 20
	return h
}

// TestMemory: 200 creates of 1 MiB at the same time, and then hostile bodies of 8 MiB, keep the process far
// below 128 MiB, all of it counted.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	// The race detector would take most of the memory.
	program := filepath.Join(t.TempDir(), "admission.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "-test.run=^TestServeUntilKilled$", "-test.v", "-test.short")
	cmd.Env = append(os.Environ(), childVar+"=1", "GOMEMLIMIT=96MiB")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		stdin.Close()
		_ = cmd.Wait()
	}()
	url := ""
	for lines := bufio.NewScanner(stdout); url == "" && lines.Scan(); {
		url, _ = strings.CutPrefix(lines.Text(), "serving on ")
		if !strings.HasPrefix(url, "https://") {
			url = ""
		}
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 256, //nolint:gosec
	}}
	send := func(body []byte) (int, error) {
		response, err := client.Post(url+Path("r"), "application/json", bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}
	var wg sync.WaitGroup
	honest := reviewOf(t, foos, "ns", map[string]any{"name": "a", "annotations": map[string]any{"a": strings.Repeat("x", 1<<20)}})
	for range 200 {
		wg.Go(func() {
			if status, err := send(honest); err != nil || status != http.StatusOK {
				t.Errorf("status %d: %v", status, err)
			}
		})
	}
	wg.Wait()
	for name, body := range hostile(8<<20 - 1) {
		for range 3 {
			wg.Go(func() {
				if _, err := send([]byte(body)); err != nil {
					t.Logf("%s: %v", name, err) // The server may close the connection of a body that makes no sense.
				}
			})
		}
	}
	wg.Wait()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	peak := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if peak == nil {
		t.Fatalf("no peak in %s", status)
	}
	kib, _ := strconv.Atoi(string(peak[1]))
	t.Logf("peak of resident memory: %d MiB", kib>>10)
	if kib > 128<<10 {
		t.Errorf("the process took %d MiB", kib>>10)
	}
}
