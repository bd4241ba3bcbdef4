package simapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// replica is a connection to one of the API servers.
type replica struct {
	*Server
	index int
}

// request is one request for a resource.
type request struct {
	ctx     context.Context
	method  string
	query   url.Values
	body    []byte
	header  http.Header
	replica int

	table       *table
	namespace   string // empty for all, and for cluster-scoped objects
	name        string // empty for collections
	subresource string
	// partial is whether the client wants metadata alone.
	partial bool
	// committed is called with the object that the request has led to, with the server locked.
	committed func(*object)
}

func (r *request) view() *view { return r.table.views[r.replica] }

func (r *request) dryRun() bool { return r.query.Get("dryRun") == metav1.DryRunAll }

// answer is what a request is answered with: data, or a stream.
type answer struct {
	code   int
	text   bool // plain text instead of JSON
	data   []byte
	stream io.ReadCloser
}

// RoundTrip implements http.RoundTripper.
func (s replica) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		body, err = io.ReadAll(req.Body)
		_ = req.Body.Close()
		if err != nil {
			return nil, err
		}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	a, err := s.serve(req, body)
	if err != nil {
		if req.Context().Err() != nil {
			return nil, req.Context().Err()
		}
		a = failure(err)
	}
	if a.stream == nil {
		a.stream = io.NopCloser(bytes.NewReader(a.data))
	}
	media := "application/json"
	if a.text {
		media = "text/plain; charset=utf-8"
	}
	return &http.Response{
		StatusCode: a.code, Status: fmt.Sprintf("%d %s", a.code, http.StatusText(a.code)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {media}},
		Body:   a.stream, ContentLength: -1,
	}, nil
}

func (s replica) serve(req *http.Request, body []byte) (answer, error) {
	r := &request{ctx: req.Context(), method: req.Method, query: req.URL.Query(), body: body, header: req.Header, replica: s.index}
	r.partial = strings.Contains(req.Header.Get("Accept"), "as=PartialObjectMetadata")
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if a, ok := s.aside(req.Method, parts, body); ok {
		return a, nil
	}
	if !s.route(r, parts) {
		return answer{code: http.StatusNotFound, text: true, data: []byte("404 page not found\n")}, nil
	}
	if r.subresource != "" && (r.subresource != "status" || !r.table.Status) {
		return answer{}, notFound()
	}
	collection := r.name == ""
	switch {
	case req.Method == http.MethodGet && collection && (r.query.Get("watch") == "true" || r.query.Get("watch") == "1"):
		return s.watch(r)
	case req.Method == http.MethodGet && collection:
		return s.list(r)
	case req.Method == http.MethodGet:
		return s.get(r)
	case req.Method == http.MethodPost && collection:
		return s.create(r)
	case req.Method == http.MethodPut && !collection:
		return s.put(r)
	case req.Method == http.MethodPatch && !collection:
		return s.patch(r)
	case req.Method == http.MethodDelete && !collection && r.subresource == "":
		return s.delete(r)
	case req.Method == http.MethodDelete && collection && r.table.GroupResource() != namespaces:
		return s.deleteCollection(r)
	}
	return answer{}, apierrors.NewMethodNotSupported(r.table.GroupResource(), strings.ToLower(req.Method))
}

// route finds out what the path names: /api/v1/… or /apis/group/version/…, then namespaces/ns/, then resource/name/subresource.
func (s *Server) route(r *request, parts []string) bool {
	var gv schema.GroupVersion
	switch {
	case len(parts) > 2 && parts[0] == "api":
		gv, parts = schema.GroupVersion{Version: parts[1]}, parts[2:]
	case len(parts) > 3 && parts[0] == "apis":
		gv, parts = schema.GroupVersion{Group: parts[1], Version: parts[2]}, parts[3:]
	default:
		return false
	}
	if len(parts) > 2 && parts[0] == "namespaces" && !(gv.Group == "" && len(parts) == 3 && parts[2] == "status") {
		r.namespace, parts = parts[1], parts[2:]
	}
	t, ok := s.tables[gv.WithResource(parts[0]).GroupResource()]
	if !ok || t.Version != gv.Version || r.namespace != "" && !t.Namespaced || len(parts) > 3 {
		return false
	}
	r.table = t
	if len(parts) > 1 {
		r.name = parts[1]
	}
	if len(parts) > 2 {
		r.subresource = parts[2]
	}
	return r.name == "" || r.namespace != "" || !t.Namespaced
}

// media returns the content type of the body.
func (r *request) media() string {
	media, _, err := mime.ParseMediaType(r.header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// done answers with the object that the request has led to. The server is locked.
func (r *request) done(code int, o *object) answer {
	if r.committed != nil && !r.dryRun() {
		r.committed(o)
	}
	return r.object(code, o)
}

// object answers with an object, or with its metadata.
func (r *request) object(code int, o *object) answer {
	return answer{code: code, data: o.json(r.partial)}
}

func encode(code int, v any) answer {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("answer cannot be encoded: %v", err)) // all of it is ours
	}
	return answer{code: code, data: data}
}

// failure answers with a status.
func failure(err error) answer {
	status, ok := err.(apierrors.APIStatus)
	if !ok && !errors.As(err, &status) {
		status = apierrors.NewInternalError(err)
	}
	out := status.Status()
	out.APIVersion, out.Kind = "v1", "Status"
	return encode(int(out.Code), out)
}

// notFound is the answer to what is not served.
func notFound() error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound,
		Message: "the server could not find the requested resource", Details: &metav1.StatusDetails{},
	}}
}
