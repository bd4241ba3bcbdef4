package ring

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Fingerprint returns a short string that is equal for two lists of members exactly if New makes the same ring of them:
// their order does not matter, and a weight of zero is the same as 1. It is what built rings are shared by.
func Fingerprint(members []Member) string {
	sorted := slices.Clone(members)
	for i := range sorted {
		if sorted[i].Weight == 0 {
			sorted[i].Weight = 1
		}
	}
	slices.SortFunc(sorted, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	h := sha256.New()
	for _, m := range sorted {
		fmt.Fprintf(h, "%d %s %d\n", len(m.Name), m.Name, m.Weight)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
