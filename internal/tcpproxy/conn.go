package tcpproxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkSize = 32 << 10
	chunks    = 128 // per direction and connection
)

// conn is one connection through the proxy.
type conn struct {
	proxy  *Proxy
	client net.Conn
	cancel context.CancelFunc // ends everything that waits for this connection

	mu     sync.Mutex
	server net.Conn // nil before it is reached
	ended  bool
}

// chunk is what was read at once, or the end of what can be read.
type chunk struct {
	buffer *[chunkSize]byte
	length int
	end    error     // nil: there is more
	due    time.Time // when it comes out
}

// forward reaches the target and forwards both directions until both have ended or the connection was reset.
func (c *conn) forward(ctx context.Context) {
	p := c.proxy
	if !p.pass(ctx) || !sleep(ctx, 2*time.Duration(p.latency.Load())) || !p.pass(ctx) {
		c.reset()
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", p.target)
	if err != nil || !c.reached(server) {
		c.reset()
		return
	}
	var running sync.WaitGroup
	for _, d := range []struct {
		from, to          net.Conn
		countIn, countOut *atomic.Uint64
	}{
		{from: c.client, to: server, countIn: &p.transmitted},
		{from: server, to: c.client, countOut: &p.received},
	} {
		queue := make(chan chunk, chunks)
		running.Go(func() { c.read(ctx, d.from, queue, d.countIn) })
		running.Go(func() { c.write(ctx, d.to, queue, d.countOut) })
	}
	running.Wait()
}

// read puts what comes in on the connection into the queue, up to its end.
func (c *conn) read(ctx context.Context, from net.Conn, queue chan<- chunk, count *atomic.Uint64) {
	for {
		next := chunk{buffer: c.proxy.buffers.Get().(*[chunkSize]byte)}
		next.length, next.end = from.Read(next.buffer[:])
		if !c.proxy.pass(ctx) {
			return
		}
		if count != nil {
			count.Add(uint64(next.length))
		}
		next.due = time.Now().Add(time.Duration(c.proxy.latency.Load()))
		select {
		case queue <- next:
		case <-ctx.Done():
			return
		}
		if next.end != nil {
			return
		}
	}
}

// write takes from the queue what is due and writes it, up to its end.
func (c *conn) write(ctx context.Context, to net.Conn, queue <-chan chunk, count *atomic.Uint64) {
	for {
		var next chunk
		select {
		case next = <-queue:
		case <-ctx.Done():
			return
		}
		if !sleep(ctx, time.Until(next.due)) || !c.proxy.pass(ctx) {
			return
		}
		n, err := to.Write(next.buffer[:next.length])
		if count != nil {
			count.Add(uint64(n))
		}
		c.proxy.buffers.Put(next.buffer)
		switch {
		case err != nil:
			c.reset()
			return
		case next.end == nil:
		case errors.Is(next.end, io.EOF) && to.(*net.TCPConn).CloseWrite() == nil:
			return
		default:
			c.reset()
			return
		}
	}
}

// reached notes the connection to the target. It returns false when the client's has ended meanwhile.
func (c *conn) reached(server net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		reset(server)
		return false
	}
	c.server = server
	return true
}

// reset ends the connection on both sides, and at once.
func (c *conn) reset() { c.end(reset) }

// close ends the connection in good order, unless it has ended.
func (c *conn) close() { c.end(func(conn net.Conn) { conn.Close() }) }

func (c *conn) end(how func(net.Conn)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended = true
	c.cancel()
	how(c.client)
	if c.server != nil {
		how(c.server)
	}
}

// reset closes a connection with a TCP reset: what is on its way is dropped, and the peer's next read is an error.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0) // it fails only on a connection that has ended
	conn.Close()
}

// sleep waits for the time to pass. It returns false when the context ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
