package admission

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/clusterring/clusterring/pkg/ring"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

const (
	// ownerTimeout is how long the creation of a grandchild may be held up by the lookup of its owner.
	ownerTimeout = 300 * time.Millisecond
	// ownerLookups is how many lookups there may be at the same time. What comes on top is left to the audit.
	ownerLookups = 16
)

// lookup reads the labels of owners from the API server.
type lookup struct {
	client metadata.Interface
	busy   chan struct{}
}

func newLookup(client metadata.Interface) *lookup {
	return &lookup{client: client, busy: make(chan struct{}, ownerLookups)}
}

// slot returns the value of the owner's label for the ring.
func (l *lookup) slot(ctx context.Context, ringName string, owner snapshot.Owner) (string, bool) {
	if l.client == nil {
		return "", false
	}
	select {
	case l.busy <- struct{}{}:
		defer func() { <-l.busy }()
	default:
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, ownerTimeout)
	defer cancel()
	// The watch cache of the API server answers without etcd. An owner that it does not know yet is left to the audit.
	object, err := l.client.Resource(owner.Resource.GVR).Namespace(owner.Namespace).
		Get(ctx, owner.Name, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil || object.UID != owner.UID {
		return "", false
	}
	value := object.Labels[wire.SlotLabel(ringName)]
	_, ok := ring.ParseSlot(value)
	return value, ok
}
