package simapi

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion"
	"k8s.io/apimachinery/pkg/apis/meta/internalversion/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
)

// catchUp is how long a read waits for a cache that is behind.
const catchUp = 3 * time.Second

func (s *Server) get(r *request) (answer, error) {
	version, _, err := r.version()
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := r.table.objects
	if r.query.Get("resourceVersion") != "" { // any state that is not older may be shown, so it comes from the cache
		if err := s.wait(r.ctx, r.view(), version); err != nil {
			return answer{}, err
		}
		objects = r.view().objects
	}
	o, ok := objects[keyOf(r.namespace, r.name)]
	if !ok {
		return answer{}, apierrors.NewNotFound(r.table.GroupResource(), r.name)
	}
	return r.object(http.StatusOK, o), nil
}

// version returns the version that the request names, and whether it names one.
func (r *request) version() (uint64, bool, error) {
	text := r.query.Get("resourceVersion")
	if text == "" {
		return 0, false, nil
	}
	version, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, false, apierrors.NewBadRequest(fmt.Sprintf("Invalid value for the resourceVersion: %q", text))
	}
	return version, true, nil
}

// wait returns when the view knows the version, or with the error of the API server if that takes too long. The server is
// locked, and unlocked meanwhile.
func (s *Server) wait(ctx context.Context, v *view, version uint64) error {
	if v.version() >= version {
		return nil
	}
	timer := time.NewTimer(catchUp)
	defer timer.Stop()
	for v.version() < version {
		advanced := v.advanced
		s.mu.Unlock()
		var err error
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			err = tooLarge(version)
		case <-advanced:
		}
		s.mu.Lock()
		if e, ok := err.(*apierrors.StatusError); ok {
			e.ErrStatus.Message = fmt.Sprintf("Timeout: Too large resource version: %d, current: %d", version, v.version())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func tooLarge(version uint64) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("Too large resource version: %d", version), 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge, Message: "Too large resource version"}}
	return err
}

// listOptions returns what matters of the options, if they go together.
func (r *request) listOptions(watch bool) (*internalversion.ListOptions, error) {
	options := &internalversion.ListOptions{
		Watch:                watch,
		ResourceVersion:      r.query.Get("resourceVersion"),
		ResourceVersionMatch: metav1.ResourceVersionMatch(r.query.Get("resourceVersionMatch")),
		Continue:             r.query.Get("continue"),
		AllowWatchBookmarks:  r.query.Get("allowWatchBookmarks") == "true",
	}
	options.Limit, _ = strconv.ParseInt(r.query.Get("limit"), 10, 64)
	if text := r.query.Get("sendInitialEvents"); text != "" {
		options.SendInitialEvents = ptr.To(text == "true")
	}
	if errs := validation.ValidateListOptions(options, true); len(errs) > 0 {
		return nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "ListOptions"}, "", errs)
	}
	return options, nil
}

// position is where a list in pages goes on: with what comes after the key, as it was at the version.
type position struct {
	Version uint64 `json:"rv"`
	After   string `json:"start"`
}

func (s *Server) list(r *request) (answer, error) {
	sel, err := r.selection()
	if err != nil {
		return answer{}, err
	}
	options, err := r.listOptions(false)
	if err != nil {
		return answer{}, err
	}
	version, named, err := r.version()
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v := r.view()
	at := position{Version: s.version}
	objects := r.table.objects
	switch {
	case options.Continue != "":
		if at, err = parsePosition(options.Continue); err != nil {
			return answer{}, err
		}
		var ok bool
		if objects, ok = v.at(at.Version); !ok {
			return answer{}, apierrors.NewResourceExpired("The provided continue parameter is too old " +
				"to display a consistent list result. You can start a new list without the continue parameter.")
		}
	case named && (options.ResourceVersionMatch == metav1.ResourceVersionMatchExact ||
		options.ResourceVersionMatch == "" && options.Limit > 0 && version > 0):
		if version > s.version {
			return answer{}, tooLarge(version)
		}
		var ok bool
		if objects, ok = v.at(version); !ok {
			return answer{}, apierrors.NewResourceExpired("The resourceVersion for the provided list is too old.")
		}
		at.Version = version
	case named: // any state that is not older
		if err := s.wait(r.ctx, v, version); err != nil {
			return answer{}, err
		}
		objects, at.Version = v.objects, v.version()
		if version == 0 {
			options.Limit = 0 // so it is
		}
	}
	return page(r, sel, objects, at, options.Limit), nil
}

// page answers with the objects that match, those after the position and as many as the limit allows.
func page(r *request, sel selection, objects map[string]*object, at position, limit int64) answer {
	var items []*object
	for _, o := range sorted(objects) {
		if o.key > at.After && sel.matches(o) {
			items = append(items, o)
		}
	}
	meta := metav1.ListMeta{ResourceVersion: strconv.FormatUint(at.Version, 10)}
	if limit > 0 && int64(len(items)) > limit {
		if sel.everything() {
			meta.RemainingItemCount = ptr.To(int64(len(items)) - limit)
		}
		items = items[:limit]
		token, _ := json.Marshal(position{Version: at.Version, After: items[limit-1].key}) // two plain fields
		meta.Continue = base64.RawURLEncoding.EncodeToString(token)
	}
	kind, apiVersion := r.table.Kind+"List", r.table.GroupVersion().String()
	if r.partial {
		kind, apiVersion = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	head, _ := json.Marshal(meta) // plain fields
	var out bytes.Buffer
	fmt.Fprintf(&out, `{"kind":%q,"apiVersion":%q,"metadata":%s,"items":[`, kind, apiVersion, head)
	for i, o := range items {
		if i > 0 {
			out.WriteByte(',')
		}
		out.Write(o.json(r.partial))
	}
	out.WriteString("]}")
	return answer{code: http.StatusOK, data: out.Bytes()}
}

func parsePosition(token string) (position, error) {
	var at position
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(data, &at)
	}
	if err != nil {
		return at, apierrors.NewBadRequest(fmt.Sprintf("continue key is not valid: %v", err))
	}
	return at, nil
}
