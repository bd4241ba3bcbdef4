package repotest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// programHead is what surrounds the Go snippets of docs/implement-sharding.md: what a controller has already.
const programHead = `package main

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/clusterring/clusterring/pkg/shard"
	"github.com/clusterring/clusterring/sample-controller/generated/clientset/versioned"
	"github.com/clusterring/clusterring/sample-controller/generated/informers/externalversions"
	foov1 "github.com/clusterring/clusterring/sample-controller/pkg/apis/samplecontroller/v1alpha1"
)

var (
	factory     externalversions.SharedInformerFactory
	kubeFactory informers.SharedInformerFactory
	controller  interface{ Run(context.Context, int) error }
)

func use(_ ...any) {}

func main() { use(example) }

func example(ctx context.Context, config *rest.Config, foo *foov1.Foo, deployment *appsv1.Deployment, workers int) error {
`

// TestSnippets: the Go snippets for those who shard their controller are a program when they are put together.
func TestSnippets(t *testing.T) {
	const file = "docs/implement-sharding.md"
	text := documents(t)[file]
	program, snippets := programHead, 0
	for _, match := range fence.FindAllStringSubmatch(text, -1) {
		if code, ok := strings.CutPrefix(strings.TrimLeft(match[0], " \t"), "```go\n"); ok {
			program += strings.TrimSuffix(strings.TrimSpace(code), "```")
			snippets++
		}
	}
	if snippets == 0 {
		t.Fatalf("%s has no snippets", file)
	}
	// The document's example.com has no packages: the sample's are of the same shape.
	program = strings.ReplaceAll(program, "c.ExampleV1()", "c.SamplecontrollerV1alpha1()") + "\tuse(client, ctx)\n\treturn err\n}\n"
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "go", "vet", path)
}
