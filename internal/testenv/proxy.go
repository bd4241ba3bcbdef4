package testenv

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/tcpproxy"
)

// Proxy returns a proxy to the API server, which runs until the test ends. What passes is late by the latency, each way.
func (c *Cluster) Proxy(t testing.TB, latency time.Duration) *tcpproxy.Proxy {
	t.Helper()
	proxy, err := tcpproxy.New(tcpproxy.Config{Target: strings.TrimPrefix(c.config.Host, "https://"), Latency: latency})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- proxy.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return proxy
}
