// Package cluster is the control plane that an experiment runs on: one of its own, started for the purpose and ended with
// it, or an existing one that a kubeconfig leads to.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/clusterring/clusterring/internal/procs"
	"github.com/clusterring/clusterring/tools/experiment/internal/prom"
)

const (
	startTimeout = 2 * time.Minute
	stopTimeout  = 20 * time.Second
	tokenSeconds = 24 * 60 * 60
)

// controllerManagerArgs let Deployments and ReplicaSets keep up with the load, as in the thesis.
var controllerManagerArgs = []string{
	"--kube-api-qps=2000", "--kube-api-burst=2200", "--concurrent-deployment-syncs=50", "--concurrent-replicaset-syncs=50",
}

// controlPlaneEnv has the control plane collect garbage less often: it may use more memory here, and no more of the cores than
// it must.
var controlPlaneEnv = []string{"GOGC=400"}

// Config says which control plane.
type Config struct {
	// Kubeconfig leads to an existing control plane, as its administrator. Without it, one is started.
	Kubeconfig string
	// Program is bin/devcluster, and Dir where it keeps its data; both for a control plane that is started.
	Program, Dir string
	// Log is where the control plane's supervisor logs.
	Log string
}

// Cluster is a control plane that is up.
type Cluster struct {
	// Version is what it says of itself.
	Version string

	cfg    Config
	config *rest.Config
	group  *procs.Group                 // nil if it was there before
	added  []*unstructured.Unstructured // to one that was there before
	made   []string                     // the Themes that were not there before
}

// Start starts a control plane, or connects to an existing one. It must be closed.
func Start(ctx context.Context, cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg}
	kubeconfig := cfg.Kubeconfig
	if kubeconfig == "" {
		kubeconfig = filepath.Join(cfg.Dir, "kubeconfig")
		if err := c.start(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start a control plane: %w", err), c.Close())
		}
	}
	var err error
	if c.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// Load must not wait for the client, and many requests must not wait for one connection.
	c.config.QPS = -1
	c.config.NextProtos = []string{"http/1.1"}
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the control plane: %w", err), c.Close())
	}
	c.Version = version.GitVersion
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	c.group = procs.NewGroup()
	args := []string{"up", "--dir=" + c.cfg.Dir}
	for _, arg := range controllerManagerArgs {
		args = append(args, "--controller-manager-arg="+arg)
	}
	p, err := c.group.Start(procs.Spec{Name: "devcluster", Path: c.cfg.Program, Args: args, Env: controlPlaneEnv, LogFile: c.cfg.Log})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return p.Ready(ctx, func(context.Context) error {
		if !strings.Contains(p.Tail(20), "export KUBECONFIG=") {
			return errors.New("it has not printed the path of its kubeconfig")
		}
		return nil
	})
}

// Own tells whether the control plane was started for the experiment, and nothing else is in it.
func (c *Cluster) Own() bool { return c.group != nil }

// Config returns a copy of the administrator's client configuration.
func (c *Cluster) Config() *rest.Config { return rest.CopyConfig(c.config) }

// Close ends the control plane if it was started. What it kept on disk goes.
func (c *Cluster) Close() error {
	if c.group == nil {
		return nil
	}
	return errors.Join(c.group.Stop(stopTimeout), os.RemoveAll(c.cfg.Dir))
}

// RestartControllerManager has the garbage collector look for new resources now, not in half a minute.
func (c *Cluster) RestartControllerManager(ctx context.Context) error {
	if !c.Own() {
		return nil
	}
	out, err := exec.CommandContext(ctx, c.cfg.Program, "restart", "controller-manager", "--dir="+c.cfg.Dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("restart the controller manager: %w: %s", err, out)
	}
	return nil
}

// Account returns the client configuration of a service account, with the rights that it was given and no others.
func (c *Cluster) Account(ctx context.Context, namespace, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	seconds := int64(tokenSeconds)
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name,
		&authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("request a token of service account %s/%s: %w", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(c.config)
	config.BearerToken = token.Status.Token
	return config, nil
}

// WriteKubeconfig writes a kubeconfig with the credentials of config. The API server is reached at the address, which is
// that of a proxy; empty means its own.
func (c *Cluster) WriteKubeconfig(path string, config *rest.Config, address string) error {
	server := &clientcmdapi.Cluster{
		Server: config.Host, CertificateAuthorityData: config.CAData, CertificateAuthority: config.CAFile,
		InsecureSkipTLSVerify: config.Insecure, TLSServerName: config.ServerName,
	}
	if address != "" {
		target, _, err := rest.DefaultServerUrlFor(config)
		if err != nil {
			return err
		}
		if server.TLSServerName == "" && !config.Insecure {
			server.TLSServerName = target.Hostname()
		}
		target.Host = address
		server.Server = target.String()
	}
	file := clientcmdapi.NewConfig()
	file.Clusters["experiment"] = server
	file.AuthInfos["experiment"] = &clientcmdapi.AuthInfo{
		ClientCertificate: config.CertFile, ClientCertificateData: config.CertData, ClientKey: config.KeyFile, ClientKeyData: config.KeyData,
		Token: config.BearerToken, TokenFile: config.BearerTokenFile,
	}
	file.Contexts["experiment"] = &clientcmdapi.Context{Cluster: "experiment", AuthInfo: "experiment"}
	file.CurrentContext = "experiment"
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// Address returns the host and port of the API server.
func (c *Cluster) Address() (string, error) {
	target, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return "", err
	}
	if target.Port() == "" {
		return target.Hostname() + ":443", nil
	}
	return target.Host, nil
}

// Targets returns where the metrics of the control plane are. Of an existing one, only the API server is known.
func (c *Cluster) Targets() ([]prom.Target, error) {
	target, _, err := rest.DefaultServerUrlFor(c.config)
	if err != nil {
		return nil, err
	}
	admin := prom.FromREST(c.config)
	targets := []prom.Target{{Job: "apiserver", Instance: "kube-apiserver", URL: target.JoinPath("metrics").String(), TLS: admin}}
	if !c.Own() {
		return targets, nil
	}
	data, err := os.ReadFile(filepath.Join(c.cfg.Dir, "state.json"))
	if err != nil {
		return nil, err
	}
	var state struct {
		Ports struct{ Etcd, ControllerManager int }
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, fmt.Errorf("read the state of the control plane: %w", err)
	}
	pki := func(name string) string { return filepath.Join(c.cfg.Dir, "pki", name) }
	local := func(port int) string { return "https://127.0.0.1:" + strconv.Itoa(port) + "/metrics" }
	return append(targets,
		prom.Target{Job: "etcd", Instance: "etcd", URL: local(state.Ports.Etcd),
			TLS: prom.TLS{CAFile: pki("etcd-ca.crt"), CertFile: pki("etcd-client.crt"), KeyFile: pki("etcd-client.key")}},
		prom.Target{Job: "kube-controller-manager", Instance: "kube-controller-manager", URL: local(state.Ports.ControllerManager), TLS: admin},
	), nil
}
