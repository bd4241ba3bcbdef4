package handover

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/pkg/shard/lease"
)

// FuzzHandOver asks about objects that anybody may have labelled. The shard works on an object only if the label names it, the
// Lease is valid and nobody asked for the object. What it writes to let go of it takes both labels off, changes nothing
// else, and fails if the object is not the one that it saw.
func FuzzHandOver(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"x","resourceVersion":"5","labels":{"shard.sharding.clusterring.dev/r":"a"}}}`), true)
	f.Add([]byte(`{"metadata":{"name":"x","resourceVersion":"5","labels":{"shard.sharding.clusterring.dev/r":"a","drain.sharding.clusterring.dev/r":""}}}`), true)
	f.Fuzz(func(t *testing.T, data []byte, valid bool) {
		object := decodeObject(data)
		if object == nil {
			return
		}
		before := encodeObject(t, object)
		var written []byte
		handled, err := newHandover(t, valid).HandOver(t.Context(), object,
			func(_ context.Context, name string, pt types.PatchType, data []byte, _ metav1.PatchOptions) error {
				if name != object.Name || pt != types.MergePatchType || written != nil {
					t.Errorf("%q is patched with %s of the type %s, after %s", name, data, pt, written)
				}
				written = data
				return nil
			})
		if diff := cmp.Diff(before, encodeObject(t, object)); diff != "" {
			t.Errorf("the object in the cache is changed:\n%s", diff)
		}

		_, asked := object.Labels[drainLabel]
		switch {
		case object.Labels[shardLabel] != "a":
			if !handled || err != nil || written != nil {
				t.Errorf("another's object: handled: %v, error: %v, patch: %s", handled, err, written)
			}
		case !valid:
			if !handled || !errors.Is(err, lease.ErrNotHeld) || written != nil {
				t.Errorf("without the Lease: handled: %v, error: %v, patch: %s", handled, err, written)
			}
		case !asked:
			if handled || err != nil || written != nil {
				t.Errorf("ours: handled: %v, error: %v, patch: %s", handled, err, written)
			}
		case object.ResourceVersion == "":
			if !handled || err == nil || !strings.Contains(err.Error(), "resourceVersion") || written != nil {
				t.Errorf("asked for, without resourceVersion: handled: %v, error: %v, patch: %s", handled, err, written)
			}
		case !handled || err != nil || written == nil:
			t.Errorf("asked for: handled: %v, error: %v, patch: %s", handled, err, written)
		default:
			checkLetGo(t, object, written)
		}
	})
}

// checkLetGo applies the patch and compares what becomes of the object.
func checkLetGo(t *testing.T, object *metav1.PartialObjectMetadata, patch []byte) {
	t.Helper()
	var precondition metav1.PartialObjectMetadata
	if err := json.Unmarshal(patch, &precondition); err != nil || precondition.ResourceVersion != object.ResourceVersion {
		t.Errorf("the patch %s is not for the resourceVersion %q: %v", patch, object.ResourceVersion, err)
	}
	after, err := jsonpatch.MergePatch([]byte(encodeObject(t, object)), patch)
	if err != nil {
		t.Fatal(err)
	}
	got := decodeObject(after)
	if got == nil {
		t.Fatalf("the object becomes %s", after)
	}
	want := object.DeepCopy()
	delete(want.Labels, shardLabel)
	delete(want.Labels, drainLabel)
	if diff := cmp.Diff(encodeObject(t, want), encodeObject(t, got)); diff != "" {
		t.Errorf("the object that was let go of (-want +got):\n%s", diff)
	}
}

// decodeObject returns nil if the data is no object as an API server has them.
func decodeObject(data []byte) *metav1.PartialObjectMetadata {
	decoded, again := &metav1.PartialObjectMetadata{}, &metav1.PartialObjectMetadata{}
	if json.Unmarshal(data, decoded) != nil {
		return nil
	}
	// Some times have no text of their own once they are UTC.
	if encoded, err := json.Marshal(decoded); err != nil || json.Unmarshal(encoded, again) != nil {
		return nil
	}
	return again
}

func encodeObject(t *testing.T, object *metav1.PartialObjectMetadata) string {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
