package tcpproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what a Proxy forwards to.
type Config struct {
	// Target is the host:port that connections are forwarded to. Required.
	Target string
	// Listen is the host:port to accept connections on. Default: a free port of 127.0.0.1.
	Listen string
	// Latency is the delay in each direction: half of what is added to a round trip. Default: none.
	Latency time.Duration
}

func (c *Config) validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Target); err != nil {
		errs = append(errs, fmt.Errorf("target: %w", err))
	}
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	if c.Latency < 0 {
		errs = append(errs, fmt.Errorf("latency: %v is negative", c.Latency))
	}
	return errors.Join(errs...)
}

// Proxy forwards TCP connections to one target. It is safe for concurrent use.
type Proxy struct {
	target   string
	listener net.Listener
	buffers  sync.Pool // of *[chunkSize]byte

	latency               atomic.Int64 // nanoseconds
	received, transmitted atomic.Uint64

	mu      sync.Mutex
	gate    chan struct{} // closed while connections are forwarded, open while they are blocked
	refuses bool
	conns   map[*conn]struct{}
}

// New returns a proxy that listens already: a client that connects before Run waits for it. Only Run releases the port.
func New(cfg Config) (*Proxy, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("TCP proxy: %w", err)
	}
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("TCP proxy: %w", err)
	}
	p := &Proxy{
		target:   cfg.Target,
		listener: listener,
		buffers:  sync.Pool{New: func() any { return new([chunkSize]byte) }},
		gate:     make(chan struct{}),
		conns:    map[*conn]struct{}{},
	}
	p.latency.Store(int64(cfg.Latency))
	close(p.gate)
	return p, nil
}

// Addr returns the host:port that the proxy listens on.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Run forwards connections until the context is done. Then it resets those that are left, and returns when all its
// goroutines have ended. It can be called once.
func (p *Proxy) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	running.Go(func() {
		<-ctx.Done()
		p.listener.Close()
		p.Cut()
	})
	for {
		client, err := p.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				reset(client)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("TCP proxy: %w", err)
		}
		running.Go(func() { p.serve(ctx, client) })
	}
}

// SetLatency changes the delay in each direction for what comes in from now on. Bytes never overtake each other.
func (p *Proxy) SetLatency(latency time.Duration) { p.latency.Store(int64(max(0, latency))) }

// Cut ends all connections with a reset. New ones are as welcome as before.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.reset()
	}
}

// Block stops forwarding without telling anybody, and ends a Refuse. What is being read or written at this moment may
// still go through.
func (p *Proxy) Block() { p.set(true, false) }

// Refuse resets new connections. It ends a Block.
func (p *Proxy) Refuse() { p.set(false, true) }

// Unblock ends a Block or a Refuse.
func (p *Proxy) Unblock() { p.set(false, false) }

func (p *Proxy) set(blocks, refuses bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuses
	select {
	case <-p.gate:
		if blocks {
			p.gate = make(chan struct{})
		}
	default:
		if !blocks {
			close(p.gate)
		}
	}
}

// Received returns how many bytes the proxy has given to clients.
func (p *Proxy) Received() uint64 { return p.received.Load() }

// Transmitted returns how many bytes the proxy has taken from clients.
func (p *Proxy) Transmitted() uint64 { return p.transmitted.Load() }

// Connections returns the number of connections that clients have at the moment.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// pass waits while connections are blocked. It returns false when the context ends before.
func (p *Proxy) pass(ctx context.Context) bool {
	p.mu.Lock()
	gate := p.gate
	p.mu.Unlock()
	select {
	case <-gate:
		return true
	default:
	}
	select {
	case <-gate:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve forwards one connection until it has ended.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	c := &conn{proxy: p, client: client, cancel: cancel}
	defer c.close()

	p.mu.Lock()
	refuses := p.refuses || ctx.Err() != nil
	if !refuses {
		p.conns[c] = struct{}{}
	}
	p.mu.Unlock()
	if refuses {
		c.reset()
		return
	}
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	c.forward(ctx)
}
