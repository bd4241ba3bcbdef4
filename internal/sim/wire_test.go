package sim

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestExcuses: what late requests may do is excused, and nothing else.
func TestExcuses(t *testing.T) {
	const collection, path, secret = "/api/v1/namespaces/objects/secrets", "/api/v1/namespaces/objects/secrets/a", `"kind":"Secret"`
	labels := func(shard string) string {
		return `"labels":{"` + v1alpha1.ShardLabel(ringName) + `":` + shard + `}`
	}
	letGo := `{"metadata":{"resourceVersion":"7",` + labels("null") + `}}`
	move := `{"metadata":{"uid":"u","resourceVersion":"7",` + labels(`"b"`) + `}}`
	drain := `{"metadata":{"uid":"u","resourceVersion":"7","labels":{"` + v1alpha1.DrainLabel(ringName) + `":"true"}}}`
	rings, secrets := simapi.Resource{}, simapi.Resource{}
	rings.Resource, secrets.Resource = "clusterrings", "secrets"
	fails := func(at string) func(*wire) {
		return func(w *wire) { w.fails(parcelOf(t, at, drain)) }
	}
	type excuses struct{ Moved, LetGo, Made bool }
	for name, tc := range map[string]struct {
		method, path string // of the object by default
		body         string
		inTime       bool
		meanwhile    func(*wire)
		version      string // of the object
		want         excuses
	}{
		"a child is let go of late":                  {body: letGo, want: excuses{LetGo: true}},
		"a child is let go of in time":               {body: letGo, inTime: true},
		"a child is let go of late, but has changed": {body: letGo, version: "8"},
		"a move comes late":                          {body: move},
		"a move comes after a failure":               {body: move, meanwhile: fails(path), want: excuses{Moved: true}},
		"a move comes after a failure of another":    {body: move, meanwhile: fails(path + "b")},
		"a move comes after the end of the ring":     {body: move, meanwhile: func(w *wire) { w.seen(rings, nil) }, want: excuses{Moved: true}},
		"a move comes after the ring was written":    {body: move, meanwhile: func(w *wire) { w.seen(rings, map[string]any{}) }},
		"something else comes late":                  {method: http.MethodPut, body: "{" + secret + "}"},
		"a child is made late":                       {method: http.MethodPost, path: collection, body: `{"metadata":{"name":"a"}}`, want: excuses{Made: true}},
		"a child is made in time":                    {method: http.MethodPost, path: collection, body: `{"metadata":{"name":"a"}}`, inTime: true},
		"another child is made late":                 {method: http.MethodPost, path: collection, body: `{"metadata":{"name":"b"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got excuses
				under := 0
				w := newWire(0, func(uid types.UID, version uint64) func() {
					got.Moved = uid == "u" && version == 7
					under++
					return func() { under-- }
				})
				if tc.path == "" {
					tc.path = path
				}
				p := parcelOf(t, tc.path, tc.body)
				time.Sleep(time.Second)
				if tc.meanwhile != nil {
					tc.meanwhile(w)
				}
				if tc.method != "" {
					p.req.Method = tc.method
				}
				if tc.version == "" {
					tc.version = "7"
				}
				object := &metav1.ObjectMeta{Namespace: "objects", Name: "a"}
				served := w.arrives(p, !tc.inTime)
				got.LetGo, got.Made = w.arrivesLate(secrets, object, tc.version), w.arrivesLate(secrets, object, "")
				served()
				if under != 0 {
					t.Error("still excused after the request has been served")
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if w.arrivesLate(secrets, object, tc.version) || w.arrivesLate(secrets, object, "") {
					t.Error("still arriving after the request has been served")
				}
			})
		})
	}
}

// TestClose: what is late comes before the end, and nothing after it.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(0, nil)
		var before, after bool
		w.later(func() { time.Sleep(time.Second); before = true })
		w.close()
		w.later(func() { after = true })
		synctest.Wait()
		if !before || after {
			t.Errorf("before %t, after %t", before, after)
		}
	})
}

func parcelOf(t *testing.T, path, body string) parcel {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://server"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return parcel{req: req, body: []byte(body), sent: time.Now()}
}
