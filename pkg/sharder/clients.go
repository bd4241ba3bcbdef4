package sharder

import (
	"errors"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/generated/clientset/versioned"
)

// clients are the three ways in which the sharder talks to the API server.
type clients struct {
	kube kubernetes.Interface
	ring versioned.Interface
	// metadata reads and writes the metadata of sharded objects of any resource.
	metadata metadata.Interface
}

func newClients(config *rest.Config) (*clients, error) {
	kube, err1 := kubernetes.NewForConfig(config)
	ring, err2 := versioned.NewForConfig(config)
	meta, err3 := metadata.NewForConfig(config)
	return &clients{kube: kube, ring: ring, metadata: meta}, errors.Join(err1, err2, err3)
}
