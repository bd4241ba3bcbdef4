package simapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// object is a stored object in one of its versions. It never changes.
type object struct {
	key     string
	version uint64
	content map[string]any
	labels  labels.Set
	fields  fields.Set

	whole, partial encoding
	hooks          hooks
}

// encoding is made when it is first needed, and then serves everybody who reads or watches the object.
type encoding struct {
	once sync.Once
	data []byte
}

func (e *encoding) get(make func() any) []byte {
	e.once.Do(func() {
		data, err := json.Marshal(make())
		if err != nil {
			panic(fmt.Sprintf("object cannot be encoded: %v", err)) // it came from JSON
		}
		e.data = data
	})
	return e.data
}

// newObject takes the content over and gives it the version.
func newObject(content map[string]any, version uint64) *object {
	u := unstructured.Unstructured{Object: content}
	u.SetResourceVersion(strconv.FormatUint(version, 10))
	return &object{
		key:     keyOf(u.GetNamespace(), u.GetName()),
		version: version,
		content: content,
		labels:  u.GetLabels(),
		fields:  fields.Set{"metadata.name": u.GetName(), "metadata.namespace": u.GetNamespace()},
	}
}

// keyOf orders objects as the storage does.
func keyOf(namespace, name string) string { return namespace + "/" + name }

// meta gives access to what must not be changed.
func (o *object) meta() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: o.content}
}

// copy returns the content for change.
func (o *object) copy() map[string]any { return runtime.DeepCopyJSON(o.content) }

// at returns the same object with another version, as it is told of in the event of its end.
func (o *object) at(version uint64) *object {
	content := maps.Clone(o.content)
	content["metadata"] = maps.Clone(o.content["metadata"].(map[string]any))
	return newObject(content, version)
}

// json returns the object, or its metadata alone.
func (o *object) json(partial bool) []byte {
	if !partial {
		return o.whole.get(func() any { return o.content })
	}
	return o.partial.get(func() any {
		return map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": o.content["metadata"]}
	})
}

// terminating tells whether the object waits for its finalizers.
func (o *object) terminating() bool { return o.meta().GetDeletionTimestamp() != nil }

// decode reads an object from a body.
func decode(body []byte) (map[string]any, error) {
	content := map[string]any{}
	if err := utiljson.Unmarshal(body, &content); err != nil {
		return nil, err
	}
	if _, ok := content["metadata"].(map[string]any); !ok {
		content["metadata"] = map[string]any{}
	}
	return content, nil
}

// owners returns the references to the owners of an object.
func owners(content map[string]any) []metav1.OwnerReference {
	u := unstructured.Unstructured{Object: content}
	return u.GetOwnerReferences()
}
