package ring

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew; a change of what it holds moves objects in every cluster")

const vectorsFile = "testdata/vectors.json"

// vectors are for implementations in other languages. 64-bit numbers are hexadecimal strings, because not every JSON parser
// keeps them.
type vectors struct {
	Slots []slotVector `json:"slots"`
	Draws []drawVector `json:"draws"`
	Logs  []logVector  `json:"logs"`
	Rings []ringVector `json:"rings"`
}

type slotVector struct {
	Key    *string `json:"key,omitempty"`
	KeyHex string  `json:"keyHex,omitempty"` // in place of Key where the bytes are not valid UTF-8
	Slot   int     `json:"slot"`
}

type drawVector struct {
	Name  string   `json:"name"`
	Seed  string   `json:"seed"`
	Draws []string `json:"draws"` // for the slots 0, 1, 2 and 16383
}

type logVector struct {
	Draw string `json:"draw"`
	Log  string `json:"log"` // in units of 2^-32
}

type ringVector struct {
	Members []memberVector `json:"members"`
	First   []string       `json:"first"` // the owners of the first slots
	Last    []string       `json:"last"`  // the owners of the last slots, when most members are full
	// SHA256 is the digest of the owners of all slots, each followed by a newline.
	SHA256 string `json:"sha256"`
}

type memberVector struct {
	Name   string `json:"name"`
	Weight int    `json:"weight,omitempty"`
	Slots  int    `json:"slots"`
}

// TestVectors fails when the published hash or ring changes.
func TestVectors(t *testing.T) {
	got := currentVectors(t)
	if *update {
		data, err := json.MarshalIndent(got, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsFile, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var want vectors
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-published +got):\n%s", diff)
	}
}

func currentVectors(t *testing.T) vectors {
	var v vectors
	for _, key := range vectorKeys() {
		s := slotVector{Key: &key, Slot: Slot(key)}
		if strings.ToValidUTF8(key, "") != key {
			s.Key, s.KeyHex = nil, hex.EncodeToString([]byte(key))
		}
		v.Slots = append(v.Slots, s)
	}
	for _, name := range []string{"a", "foo-controller-0", "foo-controller-1", "foo-controller-7d9c5b8f6-x2x4z"} {
		d := drawVector{Name: name, Seed: hex64(seed(name))}
		for _, slot := range []int{0, 1, 2, Slots - 1} {
			d.Draws = append(d.Draws, hex64(referenceDraws(name)(slot)))
		}
		v.Draws = append(v.Draws, d)
	}
	for _, draw := range []uint64{0, 1, 2, 3, 1 << 62, 1 << 63, 3 << 62, 0x123456789abcdef0, 0xfffffffffffffffe, 0xffffffffffffffff} {
		v.Logs = append(v.Logs, logVector{Draw: hex64(draw), Log: hex64(negLog2(draw))})
	}
	for _, members := range [][]Member{
		{{Name: "only"}}, names(2), names(3), names(10), {{"a", 1}, {"b", 2}, {"c", 3}}, {{"canary", 5}, {"stable-0", 95}, {"stable-1", 95}},
	} {
		v.Rings = append(v.Rings, vectorOf(t, members))
	}
	return v
}

func vectorOf(t *testing.T, members []Member) ringVector {
	all := owners(t, members)
	digest := sha256.New()
	counts := map[string]int{}
	for _, owner := range all {
		fmt.Fprintln(digest, owner)
		counts[owner]++
	}
	v := ringVector{First: all[:8], Last: all[Slots-8:], SHA256: hex.EncodeToString(digest.Sum(nil))}
	for _, m := range members {
		v.Members = append(v.Members, memberVector{Name: m.Name, Weight: m.Weight, Slots: counts[m.Name]})
	}
	return v
}

func vectorKeys() []string {
	return []string{
		"", "a", "ab", "ba", " ", "~", "\n", "\x7f", "/", `\`, "'", `"`, "`",
		"/Secret/default/a",
		"/ConfigMap/kube-system/extension-apiserver-authentication",
		"/Namespace//default",
		"apps/Deployment/default/web",
		"apps/Deployment/default/web-0",
		"apps/Deployment/default/web-1",
		"apps/Deployment/default-0/web",
		"samplecontroller.k8s.io/Foo/default/foo-00001",
		"samplecontroller.k8s.io/Foo/default/foo-99999",
		"rbac.authorization.k8s.io/ClusterRole//system:controller:node-controller",
		"ü", "日本語", "🙂", "a\u0301", "\ufffd", "\xff", "a\xff\xfeb", "\xf0\x9f\x99",
		strings.Repeat("a", 32), strings.Repeat("a", 33), strings.Repeat("~", 635), strings.Repeat("0123456789abcdef", 64),
		strings.Repeat("0123456789abcdef", 64) + "0", strings.Repeat("xyz", 1000),
	}
}

func hex64(n uint64) string { return fmt.Sprintf("%016x", n) }
