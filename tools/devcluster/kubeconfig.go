package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/clusterring/clusterring/tools/devcluster/internal/cluster"
)

func newKubeconfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubeconfig --dir DIR (--user NAME [--group GROUP]... | --service-account NAMESPACE/NAME) [-o FILE]",
		Short: "Make a kubeconfig of a user or a service account",
		Long: `Make a kubeconfig of a user (a client certificate) or a service account (a token).
It grants nothing: what the user may do is up to RBAC, as usual. The administrator's is DIR/kubeconfig.`,
		Args: noArgs,
	}
	dir := dirFlag(cmd)
	user := cmd.Flags().String("user", "", "name of a user")
	groups := cmd.Flags().StringSlice("group", nil, "group of the user; may be repeated")
	account := cmd.Flags().String("service-account", "", "an existing service account, as NAMESPACE/NAME")
	duration := cmd.Flags().Duration("duration", 30*24*time.Hour, "how long the token of a service account is valid")
	output := cmd.Flags().StringP("output", "o", "-", "file to write; - is standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if (*user == "") == (*account == "") {
			return usageError{errors.New("give either --user or --service-account")}
		}
		var data []byte
		var err error
		if *user != "" {
			data, err = cluster.UserKubeconfig(*dir, *user, *groups...)
		} else {
			data, err = accountKubeconfig(cmd.Context(), *dir, *account, *duration)
		}
		if err != nil {
			return err
		}
		if *output == "-" {
			_, err = cmd.OutOrStdout().Write(data)
			return err
		}
		return os.WriteFile(*output, data, 0o600)
	}
	return cmd
}

func accountKubeconfig(ctx context.Context, dir, account string, duration time.Duration) ([]byte, error) {
	namespace, name, ok := strings.Cut(account, "/")
	if !ok || namespace == "" || name == "" {
		return nil, usageError{fmt.Errorf("--service-account %q is not NAMESPACE/NAME", account)}
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, cluster.KubeconfigFile))
	if err != nil {
		return nil, err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	expiration := int64(duration.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &expiration}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("%w (create it first: kubectl create serviceaccount --namespace %s %s)", err, namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("request a token of service account %s: %w", account, err)
	}
	return cluster.TokenKubeconfig(dir, "system:serviceaccount:"+namespace+":"+name, token.Status.Token)
}
