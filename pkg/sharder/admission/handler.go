package admission

import (
	"context"
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
	"k8s.io/client-go/metadata"
	"k8s.io/klog/v2"

	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
	"github.com/clusterring/clusterring/pkg/wire"
)

// Path returns the path of the URL that labels objects of the ring.
func Path(ring string) string { return "/rings/" + ring + "/label" }

// Config configures a Handler.
type Config struct {
	// Rings returns a ring without waiting, false if the replica does not know it. Required.
	Rings func(ring string) (*snapshot.Ring, bool)
	// Metadata reads the owners of grandchildren. Without it they are left to the audit.
	Metadata metadata.Interface
	// Called is called with the ring of each request that could be answered. Optional.
	Called func(ring string)
	// Missed is called with the ring of each object that is left to the audit. Optional.
	Missed func(ring string)
	// MaxBodyBytes bounds the body of a request; a longer one is answered with 413. It bounds time, not memory. Default
	// 8 MiB, which has room for an object of 3 MiB, the most that the API server takes, twice.
	MaxBodyBytes int64
	// Registerer takes the metrics. None are registered without it.
	Registerer prometheus.Registerer
}

// Handler answers the AdmissionReviews of all rings. It is safe for concurrent use.
type Handler struct {
	cfg      Config
	mux      *http.ServeMux
	metrics  *metrics
	owners   *lookup
	scanners sync.Pool
}

// New returns a Handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Rings == nil {
		return nil, errors.New("admission: Rings is required")
	}
	if cfg.MaxBodyBytes <= 0 {
		cfg.MaxBodyBytes = 8 << 20
	}
	if cfg.Called == nil {
		cfg.Called = func(string) {}
	}
	if cfg.Missed == nil {
		cfg.Missed = func(string) {}
	}
	h := &Handler{cfg: cfg, metrics: newMetrics(cfg.Registerer), mux: http.NewServeMux(), owners: newLookup(cfg.Metadata)}
	h.scanners.New = func() any { return new(scanner) }
	h.mux.HandleFunc("POST "+Path("{ring}"), h.label)
	return h, nil
}

// ServeHTTP answers POST requests on Path: 200 with an AdmissionReview that allows the object to every request that can be
// answered, 400, 405, 413 or 415 to others.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

func (h *Handler) label(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	if contentType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || contentType != "application/json" {
		h.refuse(w, r, http.StatusUnsupportedMediaType, errors.New("the content type must be application/json"))
		return
	}
	ring := r.PathValue("ring")
	s := h.scanners.Get().(*scanner)
	s.reset(http.MaxBytesReader(w, r.Body, h.cfg.MaxBodyBytes))
	req, err := decode(s, wire.SlotLabel(ring))
	s.reset(nil)
	h.scanners.Put(s)
	if err != nil {
		status := http.StatusBadRequest
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			status = http.StatusRequestEntityTooLarge
		}
		h.refuse(w, r, status, err)
		return
	}

	d := decision{result: resultUnknown}
	of, known := h.cfg.Rings(ring)
	if known {
		d = decide(r.Context(), of.Rule, req, func(ctx context.Context, owner snapshot.Owner) (string, bool) {
			return h.owners.slot(ctx, ring, owner)
		})
	}
	patchBytes, err := patch(ring, req, d)
	if err != nil {
		h.refuse(w, r, http.StatusInternalServerError, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// When this fails the API server does not wait any more, and there is nobody to tell.
	_ = json.NewEncoder(w).Encode(&admissionv1.AdmissionReview{TypeMeta: reviewType, Response: answer(req.uid, ring, patchBytes, d)})

	h.log(r.Context(), ring, req, d)
	if !known {
		ring = "" // Requests for rings that do not exist must not make metrics.
	} else {
		h.cfg.Called(ring)
	}
	if d.result == resultUnowned {
		h.cfg.Missed(ring)
	}
	h.metrics.observe(ring, d.result, time.Since(started))
}

var reviewType = metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "AdmissionReview"}

func answer(uid types.UID, ring string, patch []byte, d decision) *admissionv1.AdmissionResponse {
	response := &admissionv1.AdmissionResponse{UID: uid, Allowed: true}
	if d.problem != "" {
		response.Warnings = []string{fmt.Sprintf("ClusterRing %q: the object gets no slot: %.200s", ring, d.problem)}
	}
	if patch != nil {
		patchType := admissionv1.PatchTypeJSONPatch
		response.Patch, response.PatchType = patch, &patchType
	}
	return response
}

func (h *Handler) log(ctx context.Context, ring string, req *request, d decision) {
	logger := klog.FromContext(ctx)
	if d.problem != "" {
		logger.Info("Object gets no slot, allowed as it is", "ring", ring, "resource", req.resource,
			"namespace", req.namespace, "name", req.name, "problem", d.problem)
	} else if logger := logger.V(4); logger.Enabled() {
		logger.Info("Reviewed", "ring", ring, "resource", req.resource, "namespace", req.namespace, "name", req.name,
			"operation", req.operation, "result", d.result, "slot", d.slot)
	}
}

// refuse answers a request that does not come from an API server.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	klog.FromContext(r.Context()).V(2).Info("Request refused", "path", fmt.Sprintf("%.200s", r.URL.Path), "status", status, "err", err)
	h.metrics.refused.Inc()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, err.Error()+"\n")
}
