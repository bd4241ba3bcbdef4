package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/clusterring/clusterring/pkg/wire"
)

// note is the key of a label, an annotation and data that objects have from who made them. Nobody ever changes them.
const note = "note"

// foreign returns what of an object is never changed by anybody: all but the ring's labels, what the controller and its users
// write, and what the API server does.
func (l *ledger) foreign(content map[string]any) map[string]any {
	content = maps.Clone(content)
	without(content, "data", wanted, done)
	without(content, "metadata", "resourceVersion", "managedFields", "deletionTimestamp", "deletionGracePeriodSeconds")
	if metadata, ok := content["metadata"].(map[string]any); ok {
		without(metadata, "labels", l.slotLabel)
	}
	return content
}

// without leaves out keys of a map that is in the field, and the field if that is all there is.
func without(content map[string]any, field string, keys ...string) {
	inner, _ := content[field].(map[string]any)
	inner = maps.Clone(inner)
	for _, key := range keys {
		delete(inner, key)
	}
	content[field] = inner
	if len(inner) == 0 {
		delete(content, field)
	}
}

// checkAnswer returns what is wrong with an answer of admission: it may add the slot label, or replace it.
func checkAnswer(question, answer []byte) error {
	var asked, answered admissionv1.AdmissionReview
	var object metav1.PartialObjectMetadata
	if err := errors.Join(json.Unmarshal(question, &asked), json.Unmarshal(answer, &answered)); err != nil {
		return err
	}
	if answered.Response == nil || !answered.Response.Allowed {
		return errors.New("it does not allow the request")
	}
	if len(answered.Response.Patch) == 0 {
		return nil
	}
	patch, err := jsonpatch.DecodePatch(answered.Response.Patch)
	if err := errors.Join(err, json.Unmarshal(asked.Request.Object.Raw, &object)); err != nil {
		return err
	}
	pointer := strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901
	slot := "/metadata/labels/" + pointer.Replace(wire.SlotLabel(ringName))
	for _, op := range patch {
		path, err := op.Path()
		if err != nil {
			return err
		}
		switch value, _ := op.ValueInterface(); op.Kind() + " " + path {
		case "add " + slot, "replace " + slot:
			continue
		case "add /metadata/labels":
			labels, _ := value.(map[string]any)
			if _, ok := labels[wire.SlotLabel(ringName)]; ok && len(labels) == 1 && len(object.Labels) == 0 {
				continue
			}
		}
		return fmt.Errorf("its patch changes %s", path)
	}
	return nil
}
