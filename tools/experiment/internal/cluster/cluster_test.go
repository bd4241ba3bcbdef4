package cluster

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// TestWriteKubeconfig: through a proxy, the API server still has to prove that it is the one that was meant.
func TestWriteKubeconfig(t *testing.T) {
	for name, tc := range map[string]struct {
		config           rest.Config
		address          string
		host, serverName string
		api              string // its address
	}{
		"itself":            {config: rest.Config{Host: "https://127.0.0.1:6443"}, host: "https://127.0.0.1:6443", api: "127.0.0.1:6443"},
		"by proxy":          {config: rest.Config{Host: "https://api.example.com"}, address: "127.0.0.1:5", host: "https://127.0.0.1:5", serverName: "api.example.com", api: "api.example.com:443"},
		"with another name": {config: rest.Config{Host: "https://10.0.0.1:6443", TLSClientConfig: rest.TLSClientConfig{ServerName: "k"}}, address: "127.0.0.1:5", host: "https://127.0.0.1:5", serverName: "k", api: "10.0.0.1:6443"},
		"below a path":      {config: rest.Config{Host: "https://example.com/k8s/a"}, address: "127.0.0.1:5", host: "https://127.0.0.1:5/k8s/a", serverName: "example.com", api: "example.com:443"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.config.BearerToken = "secret"
			tc.config.CAData = []byte("authority")
			c := &Cluster{config: &tc.config}
			if address, err := c.Address(); err != nil || address != tc.api {
				t.Errorf("address %q, %v; want %q", address, err, tc.api)
			}
			file := filepath.Join(t.TempDir(), "kubeconfig")
			if err := c.WriteKubeconfig(file, c.Config(), tc.address); err != nil {
				t.Fatal(err)
			}
			got, err := clientcmd.BuildConfigFromFlags("", file)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{tc.host, tc.serverName, "secret", "authority"}
			if diff := cmp.Diff(want, []string{got.Host, got.ServerName, got.BearerToken, string(got.CAData)}); diff != "" {
				t.Errorf("kubeconfig (-want +got):\n%s", diff)
			}
		})
	}
}
