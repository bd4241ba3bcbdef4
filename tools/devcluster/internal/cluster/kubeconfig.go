package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/clusterring/clusterring/tools/devcluster/internal/pki"
)

// controllerManagerUser is the name to which the API server binds the roles of the controller manager.
const controllerManagerUser = "system:kube-controller-manager"

func controllerManagerKubeconfig(dir string) string {
	return filepath.Join(dir, pkiDir, "controller-manager.kubeconfig")
}

// UserKubeconfig returns a kubeconfig for the cluster in dir with a client certificate of user as a member of groups.
// What the user may do is up to RBAC. It needs no running cluster.
func UserKubeconfig(dir, user string, groups ...string) ([]byte, error) {
	ca, err := existingAuthority(dir)
	if err != nil {
		return nil, err
	}
	pair, err := ca.Client(user, groups...)
	if err != nil {
		return nil, err
	}
	return kubeconfig(dir, ca, user, &clientcmdapi.AuthInfo{ClientCertificateData: pair.Cert, ClientKeyData: pair.Key})
}

// TokenKubeconfig returns a kubeconfig for the cluster in dir with a bearer token of user.
func TokenKubeconfig(dir, user, token string) ([]byte, error) {
	ca, err := existingAuthority(dir)
	if err != nil {
		return nil, err
	}
	return kubeconfig(dir, ca, user, &clientcmdapi.AuthInfo{Token: token})
}

func existingAuthority(dir string) (*pki.Authority, error) {
	if _, err := os.Stat(filepath.Join(dir, StateFile)); err != nil {
		return nil, fmt.Errorf("no cluster in %s: %w", dir, err)
	}
	return pki.LoadAuthority(filepath.Join(dir, pkiDir), "ca")
}

func kubeconfig(dir string, ca *pki.Authority, user string, auth *clientcmdapi.AuthInfo) ([]byte, error) {
	state, err := ReadState(dir)
	if err != nil {
		return nil, err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["devcluster"] = &clientcmdapi.Cluster{Server: state.Server, CertificateAuthorityData: ca.CertPEM()}
	config.AuthInfos[user] = auth
	config.Contexts["devcluster"] = &clientcmdapi.Context{Cluster: "devcluster", AuthInfo: user}
	config.CurrentContext = "devcluster"
	return clientcmd.Write(*config)
}

// writeKubeconfigs writes those of the administrator and of the controller manager.
func writeKubeconfigs(dir string) error {
	for _, k := range []struct {
		file, user string
		groups     []string
	}{
		{filepath.Join(dir, KubeconfigFile), "admin", []string{"system:masters"}},
		{controllerManagerKubeconfig(dir), controllerManagerUser, nil},
	} {
		data, err := UserKubeconfig(dir, k.user, k.groups...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(k.file, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
