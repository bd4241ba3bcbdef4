package sim

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// clock is by how much the clock of a process is wrong. It shows in the times of Leases.
type clock time.Duration

var leaseTime = regexp.MustCompile(`"(renewTime|acquireTime)":"([^"]+)"`)

// shift moves the times in a Lease.
func (c clock) shift(body []byte, sign time.Duration) []byte {
	return leaseTime.ReplaceAllFunc(body, func(match []byte) []byte {
		parts := leaseTime.FindSubmatch(match)
		t, err := time.Parse(metav1.RFC3339Micro, string(parts[2]))
		if err != nil {
			return match
		}
		return []byte(`"` + string(parts[1]) + `":"` + t.Add(sign*time.Duration(c)).UTC().Format(metav1.RFC3339Micro) + `"`)
	})
}

// outgoing returns what a process with that clock would send.
func (c clock) outgoing(req *http.Request, body []byte) []byte {
	if c == 0 || !strings.Contains(req.URL.Path, "/leases") {
		return body
	}
	return c.shift(body, 1)
}

// incoming has a process with that clock read its own times as it wrote them.
func (c clock) incoming(req *http.Request, resp *http.Response) error {
	if c == 0 || !strings.Contains(req.URL.Path, "/leases") || req.URL.Query().Get("watch") != "" {
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(c.shift(body, -1)))
	return nil
}
