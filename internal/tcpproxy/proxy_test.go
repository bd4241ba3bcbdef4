package tcpproxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestConfig(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  Config
		want []string // parts of the error
	}{
		"all problems at once": {Config{Target: "nowhere", Latency: -1}, []string{"target:", "latency:"}},
		"cannot listen":        {Config{Target: "127.0.0.1:1", Listen: "127.0.0.1:none"}, []string{"listen tcp"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(test.cfg)
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

// TestForward: streams come out as they went in, in both directions and on many connections, whatever the latency does
// meanwhile, and the bytes are counted.
func TestForward(t *testing.T) {
	p := start(t, Config{Target: serve(t, echo)})
	const connections, size = 8, 1 << 20
	var running sync.WaitGroup
	for n := range connections {
		c := dial(t, p)
		running.Go(func() {
			random := rand.NewChaCha8([32]byte{byte(n)})
			sent, got := sha256.New(), sha256.New()
			running.Go(func() {
				if _, err := io.CopyN(io.MultiWriter(c, sent), random, size); err != nil {
					t.Errorf("write: %v", err)
				}
				if err := c.CloseWrite(); err != nil {
					t.Errorf("close for writing: %v", err)
				}
			})
			read, err := io.Copy(got, c)
			if read != size || err != nil || !bytes.Equal(sent.Sum(nil), got.Sum(nil)) {
				t.Errorf("connection %d: %d bytes came back, error %v, or they are others than those sent", n, read, err)
			}
			p.SetLatency(time.Duration(n) * time.Millisecond)
		})
	}
	running.Wait()
	if p.Received() != connections*size || p.Transmitted() != connections*size {
		t.Errorf("received %d, transmitted %d, want %d each", p.Received(), p.Transmitted(), connections*size)
	}
	eventually(t, "all connections are gone", func() bool { return p.Connections() == 0 })
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // HTTP/1.1 does not promise that one can be read while the other is written
		_, _ = w.Write(body)
	}))
	defer server.Close()
	p := start(t, Config{Target: server.Listener.Addr().String(), Latency: time.Millisecond})
	client := server.Client() // it expects the name example.com or 127.0.0.1
	defer client.CloseIdleConnections()
	body := strings.Repeat("through a tunnel ", 10000)
	for range 3 {
		response, err := client.Post("https://"+p.Addr(), "text/plain", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		response.Body.Close()
		if string(got) != body || err != nil {
			t.Fatalf("%d bytes came back of %d, %v", len(got), len(body), err)
		}
	}
	// TLS adds to it. The last bytes are counted when the client may have read them already.
	least := uint64(3 * len(body))
	eventually(t, "more is counted than was sent", func() bool { return p.Received() > least && p.Transmitted() > least })
}

// TestLatency: a round trip takes twice the latency, a new connection one round trip more.
func TestLatency(t *testing.T) {
	const latency = 20 * time.Millisecond
	p := start(t, Config{Target: serve(t, echo), Latency: latency})
	began := time.Now()
	c := dial(t, p)
	mustAsk(t, c, "hello")
	if got := time.Since(began); got < 4*latency {
		t.Errorf("connecting and the first round trip took %v, want at least %v", got, 4*latency)
	}
	trip := func() time.Duration {
		began := time.Now()
		mustAsk(t, c, "hello")
		return time.Since(began)
	}
	if got := trip(); got < 2*latency {
		t.Errorf("round trip took %v, want at least %v", got, 2*latency)
	}
	p.SetLatency(0)
	// How little it is depends on how busy the machine is; the shortest of some trips does not.
	eventually(t, "no latency", func() bool { return trip() < latency })
}

// TestThroughput: latency is no limit to the throughput. Waiting for each chunk to come out would take 640 times as long
// as the latency.
func TestThroughput(t *testing.T) {
	const latency, size = 50 * time.Millisecond, 640 * chunkSize
	p := start(t, Config{Target: serve(t, func(c *net.TCPConn) { _, _ = io.CopyN(c, rand.NewChaCha8([32]byte{}), size) }), Latency: latency})
	began := time.Now()
	n, err := io.Copy(io.Discard, dial(t, p))
	if n != size || err != nil {
		t.Fatalf("got %d bytes of %d, %v", n, size, err)
	}
	if took := time.Since(began); took > 400*latency { // or the machine is very busy
		t.Errorf("took %v, want less than %v", took, 400*latency)
	}
}

func TestHalfClose(t *testing.T) {
	p := start(t, Config{Latency: time.Millisecond, Target: serve(t, func(c *net.TCPConn) {
		question, _ := io.ReadAll(c) // ends with the client's half
		_, _ = c.Write(bytes.ToUpper(question))
	})})
	c := dial(t, p)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); string(answer) != "HELLO" || err != nil {
		t.Errorf("got %q, %v", answer, err)
	}
}

func TestCut(t *testing.T) {
	server := make(chan error, 1)
	p := start(t, Config{Target: serve(t, func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		server <- err
	})})
	c := dial(t, p)
	mustAsk(t, c, "hello")
	p.Cut()
	mustBeReset(t, c)
	if err := <-server; err == nil {
		t.Error("the server saw the connection end in good order, not a reset")
	}
	mustAsk(t, dial(t, p), "again")
}

// TestBlock: while it lasts nothing gets through, and neither end is told. Then everything goes on.
func TestBlock(t *testing.T) {
	p := start(t, Config{Target: serve(t, echo)})
	old := dial(t, p)
	mustAsk(t, old, "hello")
	const received = uint64(len("hello"))
	eventually(t, "the answer is counted", func() bool { return p.Received() == received })

	p.Block()
	fresh := dial(t, p)
	for name, c := range map[string]net.Conn{"old": old, "new": fresh} {
		if err := c.SetDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if answer, err := ask(c, name); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s connection: got %q, %v, want a timeout", name, answer, err)
		}
		if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if p.Received() != received {
		t.Errorf("%d bytes came through", p.Received()-received)
	}

	p.Unblock()
	for name, c := range map[string]net.Conn{"old": old, "new": fresh} {
		answer := make([]byte, len(name))
		if _, err := io.ReadFull(c, answer); string(answer) != name || err != nil {
			t.Errorf("%s connection: got %q, %v", name, answer, err)
		}
	}
}

// TestCutWhileBlocked: what waits for the end of the block ends, too.
func TestCutWhileBlocked(t *testing.T) {
	p := start(t, Config{Target: serve(t, echo)})
	old := dial(t, p)
	mustAsk(t, old, "hello")
	p.Block()
	fresh := dial(t, p)
	eventually(t, "the new connection is accepted", func() bool { return p.Connections() == 2 })
	p.Cut()
	mustBeReset(t, old)
	mustBeReset(t, fresh)
	eventually(t, "both connections are gone", func() bool { return p.Connections() == 0 })
}

func TestRefuse(t *testing.T) {
	p := start(t, Config{Target: serve(t, echo)})
	old := dial(t, p)
	mustAsk(t, old, "hello")
	p.Refuse()
	mustBeRefused(t, p)
	mustAsk(t, old, "still here")
	p.Unblock()
	mustAsk(t, dial(t, p), "welcome")
}

func TestTargetDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := listener.Addr().String()
	listener.Close()
	mustBeRefused(t, start(t, Config{Target: target}))
}

// TestResets: a reset at one end is a reset at the other.
func TestResets(t *testing.T) {
	p := start(t, Config{Target: serve(t, func(c *net.TCPConn) {
		_, _ = io.ReadFull(c, make([]byte, 5))
		reset(c)
	})})
	c := dial(t, p)
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	mustBeReset(t, c)
}

// TestEnd: Run ends connections that are in use, also blocked ones and such that nobody reads.
func TestEnd(t *testing.T) {
	target := serve(t, func(c *net.TCPConn) { _, _ = io.Copy(c, rand.NewChaCha8([32]byte{})) })
	p, err := New(Config{Target: target, Latency: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- p.Run(ctx) }()
	late := dial(t, p)
	eventually(t, "the late connection is accepted", func() bool { return p.Connections() == 1 })
	p.SetLatency(0)
	unread := dial(t, p)
	eventually(t, "bytes come", func() bool { return p.Received() > 0 })
	p.Block()
	blocked := dial(t, p)
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
	for _, c := range []net.Conn{late, unread, blocked} {
		mustBeReset(t, c)
	}
	if _, err := net.Dial("tcp", p.Addr()); err == nil {
		t.Error("the port is still open")
	}
}
