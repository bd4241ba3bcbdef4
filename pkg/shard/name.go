package shard

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/clusterring/clusterring/pkg/wire"
)

// hashLength is the number of characters of the hash in a name that had to be changed.
const hashLength = 10

// ShardName returns the name of the shard that is made of the name of a pod or a host. Usually that is the same. If the name
// is too long, or has characters that cannot be in both a label's value and the name of a Lease, the result is a readable
// part of it with a hash of the whole: always the same for the same name, and another for others. An empty name stays empty.
func ShardName(name string) string {
	if name == "" || isShardName(name) {
		return name
	}
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	readable = readable[:min(len(readable), wire.MaxNameLength-hashLength-1)]
	readable = strings.Trim(readable, "-")
	if readable == "" {
		readable = "shard"
	}
	sum := sha256.Sum256([]byte(name))
	return readable + "-" + hex.EncodeToString(sum[:])[:hashLength]
}

func isShardName(name string) bool {
	return len(name) <= wire.MaxNameLength && len(validation.IsDNS1123Subdomain(name)) == 0
}

// newIdentity returns what the process writes into the Lease as its holder. A container that is started again in the same
// pod has the same identity and goes on at once, because the process before it has certainly ended.
func newIdentity(name, podUID string) string {
	if podUID == "" {
		podUID = rand.Text()
	}
	return name + "_" + podUID
}
