package admission

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/internal/old/sharder/snapshot"
)

// Path returns the path of the URL that assigns objects of the ring.
func Path(ring string) string { return "/rings/" + ring + "/assign" }

// Rings finds the snapshot of a ring without waiting. *snapshot.Cache is one.
type Rings interface {
	Get(ring string) (*snapshot.Ring, bool)
}

// Config configures a Handler.
type Config struct {
	Rings Rings
	// MaxBodyBytes bounds the body of a request; a longer one is answered with 413. Default 8 MiB, which has room for an
	// object of 3 MiB, the most that the API server takes, in its old and its new state.
	MaxBodyBytes int64
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
}

// Handler answers the AdmissionReviews of all rings. It is safe for concurrent use.
type Handler struct {
	cfg     Config
	mux     *http.ServeMux
	metrics *metrics
	buffers sync.Pool
}

// keptBufferBytes bounds the buffers that are used again, so that one huge object does not cost memory for ever.
const keptBufferBytes = 256 << 10

// New returns a Handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Rings == nil {
		return nil, errors.New("admission: Rings is required")
	}
	if cfg.MaxBodyBytes <= 0 {
		cfg.MaxBodyBytes = 8 << 20
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, err
	}
	h := &Handler{cfg: cfg, metrics: m, mux: http.NewServeMux()}
	h.buffers.New = func() any { return new(bytes.Buffer) }
	h.mux.HandleFunc("POST "+Path("{ring}"), h.assign)
	return h, nil
}

// ServeHTTP answers POST requests on Path: 200 with an AdmissionReview that allows the object to every request that can be
// answered, 400, 405, 413 or 415 to others.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) assign(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	if contentType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || contentType != "application/json" {
		h.refuse(w, r, http.StatusUnsupportedMediaType, errors.New("the content type must be application/json"))
		return
	}
	buffer := h.buffers.Get().(*bytes.Buffer)
	defer func() {
		if buffer.Cap() <= keptBufferBytes {
			buffer.Reset()
			h.buffers.Put(buffer)
		}
	}()
	if _, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, h.cfg.MaxBodyBytes)); err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		h.refuse(w, r, status, fmt.Errorf("read the body: %w", err))
		return
	}
	req, err := decode(buffer.Bytes())
	if req == nil {
		h.refuse(w, r, http.StatusBadRequest, err)
		return
	}

	name := r.PathValue("ring")
	response, d := h.review(r, name, req, err)
	if d.result == resultUnknown {
		if _, ok := h.cfg.Rings.Get(name); !ok {
			name = "" // Whoever asks for rings that do not exist must not make metrics.
		}
	}
	buffer.Reset()
	if err := json.NewEncoder(buffer).Encode(&admissionv1.AdmissionReview{TypeMeta: reviewType, Response: response}); err != nil {
		h.refuse(w, r, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(buffer.Bytes()) // The API server does not wait any more, nobody to tell.
	if !req.DryRun {
		h.metrics.observe(name, d.result, time.Since(started))
	}
}

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

// review returns the answer. err is what is wrong with the object of the request.
func (h *Handler) review(r *http.Request, name string, req *request, err error) (*admissionv1.AdmissionResponse, decision) {
	d := decision{result: resultUnknown}
	var patchBytes []byte
	if ring, ok := h.cfg.Rings.Get(name); err != nil {
		d = decision{result: resultInvalid, problem: err.Error()}
	} else if ok {
		d = decide(ring, req, generateName)
		if patchBytes, err = patch(name, req.Object.Metadata, d); err != nil {
			d = decision{result: resultInvalid, problem: err.Error()}
		}
	}
	logger := klog.FromContext(r.Context())
	if d.problem != "" {
		logger.Info("Object can't be assigned, allowed as it is", "ring", name, "resource", req.Resource.schema(),
			"namespace", req.Namespace, "name", req.Name, "problem", d.problem)
	} else if logger := logger.V(4); logger.Enabled() {
		logger.Info("Reviewed", "ring", name, "resource", req.Resource.schema(), "namespace", req.Namespace, "name", req.Name,
			"operation", req.Operation, "dryRun", req.DryRun, "result", d.result, "shard", d.shard, "generatedName", d.name)
	}
	return answer(req.UID, name, patchBytes, d), d
}

func answer(uid types.UID, ring string, patch []byte, d decision) *admissionv1.AdmissionResponse {
	response := &admissionv1.AdmissionResponse{UID: uid, Allowed: true}
	if d.problem != "" {
		response.Warnings = []string{fmt.Sprintf("ClusterRing %q: the object is not assigned to a shard: %s", ring, d.problem)}
	}
	if patch != nil {
		patchType := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &patchType
	}
	return response
}

// refuse answers what is no request of an API server.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	klog.FromContext(r.Context()).V(2).Info("Request refused", "path", r.URL.Path, "status", status, "err", err)
	h.metrics.refused.Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, err.Error()+"\n")
}
