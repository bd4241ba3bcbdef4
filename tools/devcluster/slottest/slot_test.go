package slottest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	apiservercel "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/clusterring/clusterring/pkg/ring"
)

var seed = flag.Uint64("seed", rand.Uint64(), "seed of the random keys")

// keyExpression gives the key under test: any string fits into an annotation.
const keyExpression = `object.metadata.annotations["key"]`

// expression is an expression of a policy whose value is an integer or a string.
type expression string

func (e expression) GetExpression() string    { return string(e) }
func (e expression) ReturnTypes() []*cel.Type { return []*cel.Type{cel.IntType, cel.StringType} }

// variable is a variable of a policy.
type variable struct {
	expression
	name string
}

func (v variable) GetName() string          { return v.name }
func (v variable) ReturnTypes() []*cel.Type { return []*cel.Type{cel.AnyType, cel.DynType} }

// policies are the ways in which a policy can come to a slot.
var policies = map[string]struct {
	variables  []variable
	expression string
}{
	"of the object":   {expression: slotExpression(keyExpression)},
	"of a variable":   {variables: []variable{{keyExpression, "key"}}, expression: slotExpression("variables.key")},
	"in a local name": {expression: "[" + keyExpression + "].map(key, " + slotExpression("key") + ")[0]"},
}

func TestAPIServerComputesTheSameSlots(t *testing.T) {
	t.Logf("replay with -seed=%d", *seed)
	keys := append(unusualKeys(), randomKeys(rand.New(rand.NewPCG(*seed, 0)), 5000)...)
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			evaluate := compileSlot(t, policy.variables, policy.expression)
			for _, key := range keys {
				got, _, err := evaluate(key)
				if err != nil {
					t.Fatalf("key %q: %v", key, err)
				}
				if want := int64(ring.Slot(key)); got != want {
					t.Fatalf("key %q: the API server computes slot %d, ring.Slot %d", key, got, want)
				}
			}
		})
	}
}

// A policy fails for an object when one expression costs more than the API server's limit for one, or all of them together more
// than its budget. The longest keys that there can be must stay far below.
func TestCostStaysFarBelowTheLimits(t *testing.T) {
	key := longestKey()
	for name, policy := range policies {
		t.Run(name, func(t *testing.T) {
			_, cost, err := compileSlot(t, policy.variables, policy.expression)(key)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d characters cost %d, %.1f%% of the limit per expression", len(key), cost, 100*float64(cost)/apiservercel.PerCallLimit)
			if cost > apiservercel.PerCallLimit/5 {
				t.Errorf("cost %d is more than a fifth of the limit %d", cost, apiservercel.PerCallLimit)
			}
		})
	}
}

func BenchmarkSlotExpression(b *testing.B) {
	evaluate := compileSlot(b, nil, slotExpression(keyExpression))
	for name, key := range map[string]string{"usual": "apps/Deployment/namespace-17/deployment-4711", "longest": longestKey()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := evaluate(key); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// compileSlot compiles an expression for a slot, and returns a function that evaluates it for an object with a key, with the cost.
func compileSlot(t testing.TB, variables []variable, source string) func(key string) (slot, cost int64, err error) {
	t.Helper()
	evaluate := compile(t, variables, source)
	return func(key string) (int64, int64, error) {
		value, cost, err := evaluate(&corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "default", Annotations: map[string]string{"key": key}},
		})
		if err != nil {
			return 0, 0, err
		}
		slot, ok := value.(types.Int)
		if !ok {
			return 0, 0, fmt.Errorf("the value is %v, not an integer", value)
		}
		return int64(slot), cost, nil
	}
}

// object is an object with its kind in it.
type object interface {
	runtime.Object
	metav1.Object
}

// compile compiles what a policy says as the API server does when it reads the policy, and returns a function that evaluates
// it for an object that is being created, with the cost.
func compile(t testing.TB, variables []variable, source string) func(object) (value ref.Val, cost int64, err error) {
	t.Helper()
	compiler, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	declarations := plugincel.OptionalVariableDeclarations{HasPatchTypes: true}
	// NewExpressions is the narrower of the two environments: what a policy that is written now may use.
	for _, v := range variables {
		if result := compiler.CompileAndStoreVariable(v, declarations, environment.NewExpressions); result.Error != nil {
			t.Fatalf("variable %s: %v", v.name, result.Error)
		}
	}
	condition := compiler.CompileCondition([]plugincel.ExpressionAccessor{expression(source)}, declarations, environment.NewExpressions)
	for _, err := range condition.CompilationErrors() {
		t.Fatal(err)
	}
	return func(o object) (ref.Val, int64, error) {
		kind := o.GetObjectKind().GroupVersionKind()
		resource, _ := meta.UnsafeGuessKindToResource(kind)
		attributes := admission.NewAttributesRecord(o, nil, kind, o.GetNamespace(), o.GetName(), resource, "", admission.Create, &metav1.CreateOptions{}, false, nil)
		versioned := &admission.VersionedAttributes{Attributes: attributes, VersionedKind: kind, VersionedObject: admission.NewLazyObject(o)}
		request := &admissionv1.AdmissionRequest{Operation: admissionv1.Create, Kind: metav1.GroupVersionKind(kind)}
		const budget = int64(apiservercel.RuntimeCELCostBudget)
		results, left, err := condition.ForInput(context.Background(), versioned, request, plugincel.OptionalVariableBindings{}, nil, budget)
		if err != nil {
			return nil, 0, err
		}
		if results[0].Error != nil {
			return nil, 0, results[0].Error
		}
		return results[0].EvalResult, budget - left, nil
	}
}

// longestKey is as long as a partition key can be: every part of group/Kind/namespace/name has its most characters.
func longestKey() string {
	return strings.Repeat("g", 253) + "/" + strings.Repeat("K", 63) + "/" + strings.Repeat("n", 63) + "/" + strings.Repeat("z", 253)
}

// unusualKeys are keys that API objects never or rarely have, and edges of the hash.
func unusualKeys() []string {
	keys := []string{
		"", "/", "///", "a", "ab", "ba", " ", "  ", "\x00", "\x1f", "\x7f", "\n", "\t\r\n", "~", "!", `'`, `"`, `\`, `'"\`, "%d", "$&",
		"/Namespace//kube-system",                 // core group, cluster-scoped
		"rbac.authorization.k8s.io/Role/ns/sys:a", // names of RBAC objects hold colons and more
		"apps/Deployment/default/a.b-c.d",
		"ü", "ü/ß", "u\u0308", "日本語", "🙂", "\u2028", "\ufeff", "\ufffd", "a\u0000b", "👩‍👩‍👧", "ÅÄÖ",
		"\xff", "a\xc3", "\xe6\x97", // not UTF-8
		longestKey(),
	}
	for c := rune(0); c < 0x180; c++ {
		keys = append(keys, string(c), "x"+string(c)+"y")
	}
	// Around the number of positions with different weights, and beyond.
	for _, n := range []int{31, 32, 33, 63, 64, 65, 1023, 1024, 1025, 2047, 2048, 2049, 5000} {
		keys = append(keys, strings.Repeat("~", n), strings.Repeat("ü", n), strings.Repeat("ab", n/2))
	}
	return keys
}

func randomKeys(r *rand.Rand, n int) []string {
	const dnsLabel = "abcdefghijklmnopqrstuvwxyz0123456789-"
	ranges := []struct{ from, to rune }{{' ', '~'}, {0, 0x1f}, {0x80, 0x7ff}, {0x800, 0xd7ff}, {0x10000, 0x10ffff}}
	keys := make([]string, 0, n)
	for i := range n {
		var b strings.Builder
		switch i % 3 {
		case 0: // as objects have them
			fmt.Fprintf(&b, "%s/Kind%d/ns-%d/", []string{"", "apps", "example.com"}[r.IntN(3)], r.IntN(10), r.IntN(100))
			for range 1 + r.IntN(253) {
				b.WriteByte(dnsLabel[r.IntN(len(dnsLabel))])
			}
		case 1: // printable
			for range r.IntN(64) {
				b.WriteByte(byte(' ' + r.IntN('~'-' '+1)))
			}
		case 2: // anything
			for range r.IntN(64) {
				from := ranges[r.IntN(len(ranges))]
				b.WriteRune(from.from + r.Int32N(from.to-from.from+1))
			}
		}
		keys = append(keys, b.String())
	}
	return keys
}
