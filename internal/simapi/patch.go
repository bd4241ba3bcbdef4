package simapi

import (
	"fmt"
	"net/http"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func (s *Server) patch(r *request) (answer, error) {
	switch types.PatchType(r.media()) {
	case types.MergePatchType:
		var patch map[string]any
		if err := utiljson.Unmarshal(r.body, &patch); err != nil {
			return answer{}, apierrors.NewBadRequest(err.Error())
		}
		return s.update(r, func(current *object) (map[string]any, error) {
			if current == nil {
				return nil, apierrors.NewNotFound(r.table.GroupResource(), r.name)
			}
			return mergePatch(current.copy(), patch), nil
		}, nil)
	case types.JSONPatchType:
		return s.update(r, func(current *object) (map[string]any, error) {
			return jsonPatch(current.json(false), r.body)
		}, nil)
	case types.ApplyYAMLPatchType:
		return s.apply(r)
	}
	return answer{}, statusError(http.StatusUnsupportedMediaType,
		fmt.Sprintf("the simulated API server knows no patch of the type %q", r.media()))
}

// mergePatch applies an RFC 7396 merge patch to the content, which it changes. The patch is not changed.
func mergePatch(content, patch map[string]any) map[string]any {
	if content == nil {
		content = map[string]any{}
	}
	for key, value := range patch {
		switch value := value.(type) {
		case nil:
			delete(content, key)
		case map[string]any:
			inner, _ := content[key].(map[string]any)
			content[key] = mergePatch(inner, value)
		default:
			content[key] = value
		}
	}
	return content
}

// jsonPatch applies an RFC 6902 patch.
func jsonPatch(object, body []byte) (map[string]any, error) {
	patch, err := jsonpatch.DecodePatch(body)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	patched, err := patch.Apply(object)
	if err != nil {
		return nil, statusError(http.StatusUnprocessableEntity, err.Error())
	}
	return decode(patched)
}
