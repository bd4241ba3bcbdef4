package procs

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

// HTTP returns a probe that succeeds when a GET of the URL is answered with status 200.
func HTTP(client *http.Client, url string) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s: %s", url, resp.Status, body)
		}
		return nil
	}
}

// Free ports are looked for below the range from which systems take the ports of outgoing connections. Otherwise any
// connection could take the port of a process that is to be started again.
const (
	firstPort = 20000
	lastPort  = 32000
)

// The ports are tried one after the other, from a random one on.
var (
	begin = rand.Uint32N(lastPort - firstPort)
	tries atomic.Uint32
)

// FreeAddress returns an address (127.0.0.1:port) that nobody listens on at the moment. A process that asks for several before it
// uses the first gets different ones. Another process may take one before it is used, which is unlikely.
func FreeAddress() (string, error) {
	for try := 0; ; try++ {
		port := firstPort + int((begin+tries.Add(1))%(lastPort-firstPort))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			defer l.Close()
			return l.Addr().String(), nil
		}
		if try == 100 {
			return "", fmt.Errorf("find a free port: %w", err)
		}
	}
}
