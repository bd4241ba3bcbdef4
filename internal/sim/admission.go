package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sort"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
)

// admission carries requests of the API server to the replicas of the sharder.
type admission struct{ *World }

// RoundTrip implements http.RoundTripper.
func (a admission) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	a.reviews++
	chance := a.dice.roll("admission", a.reviews)
	c := a.admissionConditions
	var names []string
	for name := range a.replicas {
		names = append(names, name)
	}
	sort.Strings(names)
	var r *replica
	if len(names) > 0 {
		r = a.replicas[names[chance.IntN(len(names))]]
	}
	a.mu.Unlock()

	question, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	answer, err := a.ask(req, question, r, c, chance)
	trouble := err == nil && chance.Float64() < c.Errors
	switch {
	case err != nil:
		return nil, err
	case trouble:
		return troubled(answer, chance.IntN(3)), nil
	}
	return answer.Result(), nil
}

// ask returns the answer of the replica, if it can be reached.
func (a admission) ask(req *http.Request, question []byte, r *replica, c Conditions, chance *rand.Rand) (*httptest.ResponseRecorder, error) {
	switch ended := r == nil || r.crashed.Load(); {
	case c.Refused, ended:
		return nil, errRefused
	case c.Cut:
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	select {
	case <-r.ended:
		return nil, errRefused
	default:
	}
	if conditions, _, _ := r.link.get(); conditions.Cut && (chance.IntN(2) == 0 || conditions.Paused) { // cut off on that side, too
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	if err := sleep(req.Context(), between(chance, 100*time.Microsecond, time.Millisecond)+between(chance, 0, 2*c.Delay)); err != nil {
		return nil, err
	}
	if chance.Float64() < c.Loss {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	recorder := httptest.NewRecorder()
	if a.mutant.Refusing && chance.IntN(4) == 0 {
		recorder.WriteHeader(http.StatusOK)
		var review admissionv1.AdmissionReview
		if err := json.Unmarshal(question, &review); err != nil {
			return nil, err
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID}
		return recorder, json.NewEncoder(recorder).Encode(review)
	}
	asked := req.Clone(context.WithoutCancel(req.Context()))
	asked.Body = io.NopCloser(bytes.NewReader(question))
	r.sharder.Admission().ServeHTTP(recorder, asked)
	a.ledger.count(func(c *Counts) { c.Reviews++ })
	if err := checkAnswer(question, recorder.Body.Bytes()); err != nil {
		a.add("G3", "%s answers what it must not: %v: %s", r.id(), err, recorder.Body)
	}
	return recorder, nil
}

// troubled returns an answer that is not to be had: an error, a part of it, or one to another question.
func troubled(answer *httptest.ResponseRecorder, kind int) *http.Response {
	resp := answer.Result()
	body := answer.Body.Bytes()
	switch kind {
	case 0:
		resp.StatusCode = http.StatusInternalServerError
	case 1:
		body = body[:len(body)/2]
	case 2:
		body = bytes.Replace(body, []byte(`"uid":"`), []byte(`"uid":"not-`), 1)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}
