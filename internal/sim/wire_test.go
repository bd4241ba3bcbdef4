package sim

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/simapi"
	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

// TestExcuses: what late requests may do is excused, and nothing else.
func TestExcuses(t *testing.T) {
	const path, secret = "/api/v1/namespaces/objects/secrets/a", `"kind":"Secret"`
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
	type excuses struct{ Moved, LetGo bool }
	for name, tc := range map[string]struct {
		method, body string
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
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got excuses
				w := newWire(0, func(uid types.UID) func() { got.Moved = uid == "u"; return func() {} })
				p := parcelOf(t, path, tc.body)
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
				old := map[string]any{"metadata": map[string]any{"namespace": "objects", "name": "a", "resourceVersion": tc.version}}
				served := w.arrives(p, !tc.inTime)
				got.LetGo = w.letsGo(secrets, old)
				served()
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if w.letsGo(secrets, old) {
					t.Error("still let go of after the request has been served")
				}
			})
		})
	}
}

func parcelOf(t *testing.T, path, body string) parcel {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "http://server"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return parcel{req: req, body: []byte(body), sent: time.Now()}
}
