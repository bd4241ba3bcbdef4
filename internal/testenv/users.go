package testenv

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// UserConfig returns the client configuration of a user, who may do what RBAC grants to the name and to groups. In an
// existing cluster, the administrator impersonates the user.
func (c *Cluster) UserConfig(ctx context.Context, user string, groups ...string) (*rest.Config, error) {
	if c.server == nil {
		config := c.Config()
		config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
		return config, nil
	}
	args := []string{"kubeconfig", "--user=" + user}
	for _, group := range groups {
		args = append(args, "--group="+group)
	}
	data, err := c.server.control(ctx, c.Dir(), args...)
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(data)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig of user %q: %w", user, err)
	}
	config.QPS = -1
	return config, nil
}

// ServiceAccountConfig returns the client configuration of a service account, which is created if it does not exist.
func (c *Cluster) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.config)
	if err != nil {
		return nil, err
	}
	accounts := client.CoreV1().ServiceAccounts(namespace)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := accounts.Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	token, err := accounts.CreateToken(ctx, name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	config := rest.AnonymousClientConfig(c.config)
	config.QPS = -1
	config.BearerToken = token.Status.Token
	return config, nil
}

// WriteKubeconfig writes a kubeconfig for programs that a test starts, and returns its path.
func WriteKubeconfig(t testing.TB, config *rest.Config) string {
	t.Helper()
	file := clientcmdapi.NewConfig()
	file.Clusters["test"] = &clientcmdapi.Cluster{
		Server:                   config.Host,
		CertificateAuthorityData: config.CAData,
		CertificateAuthority:     config.CAFile,
		InsecureSkipTLSVerify:    config.Insecure,
	}
	file.AuthInfos["test"] = &clientcmdapi.AuthInfo{
		ClientCertificate:     config.CertFile,
		ClientCertificateData: config.CertData,
		ClientKey:             config.KeyFile,
		ClientKeyData:         config.KeyData,
		Token:                 config.BearerToken,
		TokenFile:             config.BearerTokenFile,
		Impersonate:           config.Impersonate.UserName,
		ImpersonateGroups:     config.Impersonate.Groups,
	}
	file.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	file.CurrentContext = "test"
	path := filepath.Join(t.TempDir(), "kubeconfig")
	data, err := clientcmd.Write(*file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Pids returns the process ids of the control plane's running components.
func (c *Cluster) Pids() (map[Component]int, error) {
	if c.server == nil {
		return nil, errExisting
	}
	data, err := os.ReadFile(filepath.Join(c.Dir(), "state.json"))
	if err != nil {
		return nil, err
	}
	var state struct {
		Components map[string]struct{ Pid int }
	}
	if err := json.Unmarshal(data, &state); err != nil {
		return nil, fmt.Errorf("read the state of the control plane: %w", err)
	}
	pids := map[Component]int{}
	for name, component := range map[string]Component{
		"etcd": Etcd, "kube-apiserver": APIServer, "kube-controller-manager": ControllerManager,
	} {
		if pid := state.Components[name].Pid; pid != 0 {
			pids[component] = pid
		}
	}
	return pids, nil
}
