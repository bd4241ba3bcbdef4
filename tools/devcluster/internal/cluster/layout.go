package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/clusterring/clusterring/tools/devcluster/internal/pki"
)

// Names in the cluster's directory that other programs may use.
const (
	KubeconfigFile = "kubeconfig"   // of the administrator
	StateFile      = "state.json"   // see State
	controlSocket  = "control.sock" // takes orders, see control.go
	lockFile       = "lock"         // held by the supervisor while it lives
	pkiDir         = "pki"
)

// LogFile returns the path of a component's log.
func LogFile(dir, component string) string {
	return filepath.Join(dir, component+".log")
}

// files are the paths of everything that the components are told about.
type files struct {
	ca, etcdCA, proxyCA *pki.Authority

	etcdCert, etcdKey             string // server and peer
	etcdClientCert, etcdClientKey string
	apiCert, apiKey               string
	kcmCert, kcmKey               string
	proxyCert, proxyKey           string // of the API server as a client of extension API servers
	accountKey, accountPub        string // sign and verify service account tokens
	adminCert, adminKey           string
	authentication                string // AuthenticationConfiguration of the API server
}

// proxyUser is the name by which extension API servers know the API server.
const proxyUser = "front-proxy-client"

// apiNames are the names under which clients reach the API server, beside localhost.
var apiNames = []string{
	"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", serviceIP,
}

// authenticationConfig lets probes ask for the API server's health without credentials, and nothing else.
const authenticationConfig = `apiVersion: apiserver.config.k8s.io/v1beta1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /livez
  - path: /readyz
  - path: /healthz
`

// newFiles writes keys and certificates. etcd has an authority of its own: otherwise every user of the cluster could go
// past the API server. Authorities and the signing key stay when they exist, so that kubeconfigs and tokens given out
// earlier remain valid; everything else is issued anew.
func newFiles(dir string) (*files, error) {
	dir = filepath.Join(dir, pkiDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &files{authentication: filepath.Join(dir, "authentication.yaml")}
	var err error
	if f.ca, err = pki.LoadAuthority(dir, "ca"); err != nil {
		return nil, err
	}
	if f.etcdCA, err = pki.LoadAuthority(dir, "etcd-ca"); err != nil {
		return nil, err
	}
	if f.proxyCA, err = pki.LoadAuthority(dir, "proxy-ca"); err != nil {
		return nil, err
	}
	if f.accountKey, f.accountPub, err = pki.SigningKey(dir); err != nil {
		return nil, err
	}
	for _, leaf := range []struct {
		name      string
		issue     func() (pki.Pair, error)
		cert, key *string
	}{
		{"etcd", func() (pki.Pair, error) { return f.etcdCA.Server() }, &f.etcdCert, &f.etcdKey},
		{"etcd-client", func() (pki.Pair, error) { return f.etcdCA.Client("kube-apiserver") }, &f.etcdClientCert, &f.etcdClientKey},
		{"apiserver", func() (pki.Pair, error) { return f.ca.Server(apiNames...) }, &f.apiCert, &f.apiKey},
		{"controller-manager", func() (pki.Pair, error) { return f.ca.Server() }, &f.kcmCert, &f.kcmKey},
		{"proxy-client", func() (pki.Pair, error) { return f.proxyCA.Client(proxyUser) }, &f.proxyCert, &f.proxyKey},
		{"admin", func() (pki.Pair, error) { return f.ca.Client("admin", "system:masters") }, &f.adminCert, &f.adminKey},
	} {
		pair, err := leaf.issue()
		if err != nil {
			return nil, err
		}
		if *leaf.cert, *leaf.key, err = pair.Write(dir, leaf.name); err != nil {
			return nil, fmt.Errorf("write certificate: %w", err)
		}
	}
	return f, os.WriteFile(f.authentication, []byte(authenticationConfig), 0o644)
}
