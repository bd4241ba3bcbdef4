package admission

import (
	"runtime"
	"strings"
	"testing"
)

// hostile are bodies that cost a decoder that keeps what it reads many times their size.
func hostile(size int) map[string]string {
	fill := func(head, item, tail string) string {
		return head + strings.Repeat(item, (size-len(head)-len(tail))/len(item)) + tail
	}
	const head = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","resource":{"group":"example.com","resource":"foos"},"object":`
	return map[string]string{
		"owner references": fill(head+`{"metadata":{"name":"a","ownerReferences":[`, `{},`, `{}]}}}}`),
		"controllers":      fill(head+`{"metadata":{"name":"a","ownerReferences":[`, `{"controller":true,"name":"a"},`, `{}]}}}}`),
		"labels":           fill(head+`{"metadata":{"name":"a","labels":{`, `"a":"b",`, `"c":"d"}}}}}`),
		"objects":          fill(head+`{"metadata":{"name":"a"},"spec":[`, `{},`, `{}]}}}`),
		"depth":            fill(head, `{"metadata":`, ``),
		"brackets":         fill(head, `[`, ``),
		"a string":         fill(head+`{"metadata":{"name":"a"},"data":"`, `x`, `"}}}`),
		"a name":           fill(head+`{"metadata":{"name":"`, `x`, `"}}}}`),
		"a key":            fill(head+`{"metadata":{"`, `x`, `":1}}}}`),
		"escapes":          fill(head+`{"metadata":{"name":"`, `\u00e4`, `"}}}}`),
		"many keys":        fill(head+`{"metadata":{"name":"a"`, `,"name":"a"`, `}}}}`),
	}
}

// TestDecodingKeepsNothing: what a body costs does not depend on its size.
func TestDecodingKeepsNothing(t *testing.T) {
	for name, body := range hostile(8 << 20) {
		t.Run(name, func(t *testing.T) {
			s := new(scanner)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			s.reset(strings.NewReader(body))
			_, _ = decode(s, slotLabel)
			runtime.GC()
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 256<<10 {
				t.Errorf("%d KiB are kept", grown>>10)
			}
			// Strings that are read one after the other are garbage at once; their sum is a part of the body's size.
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 64<<20 {
				t.Errorf("%d MiB were allocated in all", allocated>>20)
			}
		})
	}
}
