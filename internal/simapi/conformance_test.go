package simapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/clusterring/clusterring/internal/testenv"
)

var cluster *testenv.Cluster

func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }

// A step is one request, or the wait for events of a watch that a request began. Paths and bodies may refer to the
// namespace of the test, {ns}, and to what was saved earlier: {name.rv}, {name.uid}, {name.continue}, {name.name}.
type step struct {
	do    string // method and path
	media string // of the body; JSON by default
	as    string // the Accept header
	body  string
	save  string // name
	until int    // ask again until the answer has this code
	loses string // ask again while this is in the answer
	watch string // name: the request begins a watch
	// of and events: wait for so many events of the watch. Bookmarks do not count, but for the one after the initial events.
	of     string
	events int
}

// TestConformance runs one script on this server and on the real one.
func TestConformance(t *testing.T) {
	testenv.Require(t, cluster)
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			real := newRunner(t, cluster.Config(), cluster.Namespace(t))
			unhook := real.hookReal()
			for _, s := range script {
				real.run(s)
			}
			unhook()
			synctest.Test(t, func(t *testing.T) {
				simulated := simulatedRunner(t)
				for i, s := range script {
					simulated.run(s)
					if diff := cmp.Diff(real.transcript[i], simulated.transcript[i]); diff != "" {
						t.Errorf("step %d, %s%s (-real +simulated):\n%s", i, s.do, s.of, diff)
					}
				}
				simulated.endWatches()
			})
		})
	}
}

// TestScripts runs the scripts on this server alone, to see that they are not empty.
func TestScripts(t *testing.T) {
	for name, script := range scripts {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := simulatedRunner(t)
				for _, s := range script {
					r.run(s)
				}
				r.endWatches()
				if len(r.transcript) != len(script) {
					t.Errorf("%d entries for %d steps", len(r.transcript), len(script))
				}
			})
		})
	}
}

func simulatedRunner(t *testing.T) *runner {
	t.Helper()
	h := &hook{}
	s, err := New(Config{Webhooks: h})
	if err != nil {
		t.Fatal(err)
	}
	r := newRunner(t, s.Config(), "simulated")
	r.hook = h
	r.request("POST /api/v1/namespaces", "", "", `{"metadata":{"name":"simulated"}}`)
	r.request("POST /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", "", "", hookConfiguration("hook", r.namespace, "https://hook", nil))
	return r
}

// runner runs scripts on one server.
type runner struct {
	*testing.T
	ctx        context.Context
	client     *http.Client
	host       string
	namespace  string
	hook       *hook
	vars       map[string]string
	names      map[string]string // of UIDs, versions and generated names in the transcript
	watches    map[string]*watchReader
	transcript []any
}

func newRunner(t *testing.T, config *rest.Config, namespace string) *runner {
	t.Helper()
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{T: t, ctx: t.Context(), client: client, host: config.Host, namespace: namespace, names: map[string]string{}, watches: map[string]*watchReader{}}
	r.vars = map[string]string{"{ns}": namespace}
	return r
}

var placeholder = regexp.MustCompile(`\{[a-z0-9]+(\.[a-z]+)?\}`)

func (r *runner) fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		value, ok := r.vars[p]
		if !ok {
			r.Fatalf("nothing was saved as %s", p)
		}
		return value
	})
}

// request does a request and returns the answer, whose body is to be closed.
func (r *runner) request(do, media, accept, body string) *http.Response {
	r.Helper()
	method, path, _ := strings.Cut(r.fill(do), " ")
	req, err := http.NewRequestWithContext(r.ctx, method, r.host+path, strings.NewReader(r.fill(body)))
	if err != nil {
		r.Fatal(err)
	}
	if media == "" {
		media = "application/json"
	}
	if accept == "" {
		accept = "application/json"
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Accept", accept)
	resp, err := r.client.Do(req)
	if err != nil {
		r.Fatalf("%s: %v", do, err)
	}
	return resp
}

func (r *runner) run(s step) {
	r.Helper()
	switch {
	case s.of != "":
		r.transcript = append(r.transcript, r.await(s))
	case s.watch != "":
		resp := r.request(s.do, s.media, s.as, s.body)
		r.watches[s.watch] = readWatch(resp.Body)
		r.transcript = append(r.transcript, resp.StatusCode)
	default:
		code, object := r.answer(s)
		r.transcript = append(r.transcript, map[string]any{"code": code, "object": r.normalize(object)})
	}
}

// answer does the request, again and again if need be.
func (r *runner) answer(s step) (int, map[string]any) {
	r.Helper()
	deadline := time.After(60 * time.Second)
	for {
		resp := r.request(s.do, s.media, s.as, s.body)
		data, err := io.ReadAll(resp.Body)
		if err = errorsJoin(err, resp.Body.Close()); err != nil {
			r.Fatal(err)
		}
		object := map[string]any{}
		if err := json.Unmarshal(data, &object); err != nil {
			object["text"] = "not JSON"
		}
		if s.until != 0 && resp.StatusCode != s.until || s.loses != "" && strings.Contains(string(data), s.loses) {
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-deadline:
				r.Fatalf("%s: still %d", s.do, resp.StatusCode)
			}
		}
		if s.save != "" {
			meta, _ := object["metadata"].(map[string]any)
			for key, field := range map[string]string{"rv": "resourceVersion", "uid": "uid", "continue": "continue", "name": "name"} {
				value, _ := meta[field].(string)
				r.vars["{"+s.save+"."+key+"}"] = value
			}
		}
		return resp.StatusCode, object
	}
}

func errorsJoin(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// watchReader reads the events of a watch in the background.
type watchReader struct {
	events chan map[string]any
	body   io.Closer
}

func readWatch(body io.ReadCloser) *watchReader {
	w := &watchReader{events: make(chan map[string]any, 1000), body: body}
	go func() {
		defer close(w.events)
		decoder := json.NewDecoder(body)
		for {
			event := map[string]any{}
			if decoder.Decode(&event) != nil {
				return
			}
			w.events <- event
		}
	}()
	return w
}

func (r *runner) endWatches() {
	for _, w := range r.watches {
		_ = w.body.Close()
		for range w.events {
		}
	}
}

func (r *runner) await(s step) []any {
	r.Helper()
	var out []any
	timeout := time.After(time.Minute)
	for len(out) < s.events {
		select {
		case event, ok := <-r.watches[s.of].events:
			if !ok {
				return append(out, "end")
			}
			object, _ := event["object"].(map[string]any)
			if event["type"] == "BOOKMARK" {
				meta, _ := object["metadata"].(map[string]any)
				if meta["annotations"] == nil {
					continue
				}
				meta["resourceVersion"] = "any"
				delete(object, "data")
				delete(object, "spec")
			}
			out = append(out, map[string]any{"type": event["type"], "object": r.normalize(object)})
		case <-timeout:
			r.Errorf("watch %s: %d events instead of %d: %v", s.of, len(out), s.events, out)
			return out
		}
	}
	return out
}

var generated = regexp.MustCompile(`^(.*-)[a-z0-9]{5}$`)

// normalize replaces what differs from run to run by names in the order of appearance.
func (r *runner) normalize(object map[string]any) map[string]any {
	if object["kind"] == "Status" {
		// Messages are for people; which resource a failure is about depends on how far the request came.
		return map[string]any{"reason": object["reason"], "status": object["status"]}
	}
	object = maps.Clone(object)
	meta, _ := object["metadata"].(map[string]any)
	if strings.HasSuffix(fmt.Sprint(object["kind"]), "List") {
		var items []any
		list, _ := object["items"].([]any)
		for _, item := range list {
			o := item.(map[string]any)
			delete(o, "kind") // typed lists of the real server leave both out
			delete(o, "apiVersion")
			items = append(items, r.normalize(o))
		}
		object["items"] = items
		object["metadata"] = map[string]any{"more": meta["continue"] != nil, "remaining": meta["remainingItemCount"]}
		return object
	}
	if spec, ok := object["spec"].(map[string]any); ok && len(spec) == 0 {
		delete(object, "spec") // a default of Leases
	}
	meta = maps.Clone(meta)
	delete(meta, "managedFields")
	for _, field := range []string{"uid", "resourceVersion"} {
		if value, ok := meta[field].(string); ok && value != "any" {
			meta[field] = r.symbol(field, value)
		}
	}
	for _, field := range []string{"creationTimestamp", "deletionTimestamp"} {
		if value, ok := meta[field].(string); ok {
			if _, err := time.Parse(time.RFC3339, value); err == nil {
				meta[field] = "a time"
			}
		} else {
			delete(meta, field) // the same as null
		}
	}
	if name, ok := meta["name"].(string); ok && meta["generateName"] != nil {
		meta["name"] = generated.ReplaceAllString(name, "$1?????")
	}
	object["metadata"] = meta
	out, err := json.Marshal(object)
	if err != nil {
		r.Fatal(err)
	}
	text := strings.ReplaceAll(string(out), r.namespace, "the-namespace")
	for value, symbol := range r.names {
		if strings.HasPrefix(symbol, "uid") {
			text = strings.ReplaceAll(text, value, symbol) // in owner references
		}
	}
	object = map[string]any{}
	if err := json.NewDecoder(bytes.NewReader([]byte(text))).Decode(&object); err != nil {
		r.Fatal(err)
	}
	return object
}

func (r *runner) symbol(field, value string) string {
	if _, ok := r.names[value]; !ok {
		n := 0
		for _, symbol := range r.names {
			if strings.HasPrefix(symbol, field) {
				n++
			}
		}
		r.names[value] = field + "-" + strconv.Itoa(n+1)
	}
	return r.names[value]
}
