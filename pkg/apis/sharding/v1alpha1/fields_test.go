package v1alpha1_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/clusterring/clusterring/internal/testenv"
	sharding "github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
)

const (
	noNamespace  = "spec.shards.namespace: Required value: name the one namespace in which the shards have their Leases"
	badNamespace = "must be the name of the one namespace in which the shards have their Leases: lower case letters, digits and dashes, with a letter or digit at both ends"
	badDelay     = "must be a duration between 0s and 1h, for example 10s"
	badDuration  = "must be a duration between 1s and 1h, for example 60s"
)

// TestRefusedFields: what a Go client cannot even say is written as JSON.
func TestRefusedFields(t *testing.T) {
	client := client(t).ShardingV1alpha1().RESTClient()

	invalid := func(field, value, message string) []string {
		return []string{fmt.Sprintf("spec.%s: Invalid value: %q: %s", field, value, message)}
	}
	namespace := func(value string) string { return fmt.Sprintf(`"shards":{"namespace":%q}`, value) }
	duration := func(value string) string {
		return fmt.Sprintf(`"shards":{"namespace":"shards","maxLeaseDuration":%q}`, value)
	}
	delay := func(value string) string {
		return fmt.Sprintf(`"shards":{"namespace":"shards"},"rebalanceDelay":%q`, value)
	}

	for name, c := range map[string]struct {
		spec string
		want []string
	}{
		"no shards":    {`"partitionBy":"Object"`, []string{noNamespace}},
		"no namespace": {`"shards":{"maxLeaseDuration":"60s"}`, []string{noNamespace}},

		"namespace too long": {namespace(strings.Repeat("n", 64)), []string{
			"spec.shards.namespace: Too long: may not be more than 63 bytes",
		}},
		"namespace empty":                {namespace(""), invalid("shards.namespace", "", badNamespace)},
		"namespace in upper case":        {namespace("Shards"), invalid("shards.namespace", "Shards", badNamespace)},
		"namespace with a dot":           {namespace("a.b"), invalid("shards.namespace", "a.b", badNamespace)},
		"namespace with a dash in front": {namespace("-a"), invalid("shards.namespace", "-a", badNamespace)},
		"namespace with a dash behind":   {namespace("a-"), invalid("shards.namespace", "a-", badNamespace)},
		"all namespaces":                 {namespace("*"), invalid("shards.namespace", "*", badNamespace)},
		"namespace with a second line":   {namespace("a\nb"), invalid("shards.namespace", "a\nb", badNamespace)},

		"duration too short":      {duration("999ms"), invalid("shards.maxLeaseDuration", "999ms", badDuration)},
		"duration too long":       {duration("1h0.1s"), invalid("shards.maxLeaseDuration", "1h0.1s", badDuration)},
		"duration below 0":        {duration("-60s"), invalid("shards.maxLeaseDuration", "-60s", badDuration)},
		"duration of nobody":      {duration("60"), invalid("shards.maxLeaseDuration", "60", badDuration)},
		"duration in ISO":         {duration("PT60S"), invalid("shards.maxLeaseDuration", "PT60S", badDuration)},
		"duration that overflows": {duration("9999999999h"), invalid("shards.maxLeaseDuration", "9999999999h", badDuration)},
		"duration of the most parts": {duration(strings.Repeat("99999h", 7)),
			invalid("shards.maxLeaseDuration", strings.Repeat("99999h", 7), badDuration)},

		"delay too long":     {delay("1h1s"), invalid("rebalanceDelay", "1h1s", badDelay)},
		"delay below 0":      {delay("-1s"), invalid("rebalanceDelay", "-1s", badDelay)},
		"delay of nothing":   {delay(""), invalid("rebalanceDelay", "", badDelay)},
		"delay in words":     {delay("soon"), invalid("rebalanceDelay", "soon", badDelay)},
		"delay in days":      {delay("1d"), invalid("rebalanceDelay", "1d", badDelay)},
		"delay of all units": {delay(strings.Repeat("1s", 50)), []string{"spec.rebalanceDelay: Too long: may not be more than 64 bytes"}},

		"partitioned by nothing": {`"shards":{"namespace":"shards"},"partitionBy":""`, []string{
			`spec.partitionBy: Unsupported value: "": supported values: "Object", "Namespace"`,
		}},
		"partitioned by what there is not": {`"shards":{"namespace":"shards"},"partitionBy":"Label"`, []string{
			`spec.partitionBy: Unsupported value: "Label": supported values: "Object", "Namespace"`,
		}},
		"an admission that there is not": {`"shards":{"namespace":"shards"},"admission":"Policy"`, []string{
			`spec.admission: Unsupported value: "Policy": supported values: "Webhook", "None"`,
		}},
		"a sharder that there is not": {`"shards":{"namespace":"shards"},"sharder":"mine"`, []string{
			`spec.sharder: Unsupported value: "mine": supported values: "Installed", "Embedded"`,
		}},
		"an embedded sharder with a webhook": {`"shards":{"namespace":"shards"},"sharder":"Embedded"`, []string{
			`spec.admission: Invalid value: must be None where sharder is Embedded: only the installed sharder has a webhook`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			body := fmt.Sprintf(`{"apiVersion":%q,"kind":"ClusterRing","metadata":{"name":%q},"spec":{"resources":[{"group":"apps","resource":"deployments"}],%s}}`,
				sharding.SchemeGroupVersion, testenv.Name(t), c.spec)
			err := client.Post().Resource("clusterrings").SetHeader("Content-Type", "application/json").
				Param("dryRun", metav1.DryRunAll).Body([]byte(body)).Do(t.Context()).Error()
			var got []string
			for _, cause := range causes(t, err) {
				// What else the API server says once a value has the wrong length or type.
				if !strings.Contains(cause, "some validation rules were not checked") {
					got = append(got, cause)
				}
			}
			if diff := cmp.Diff(c.want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}

// TestImmutable: what sharder and shards must agree on all the time stays as it was when the ring was made.
func TestImmutable(t *testing.T) {
	rings := client(t).ShardingV1alpha1().ClusterRings()
	const (
		namespace = `spec.shards.namespace: Invalid value: cannot be changed, because shards would keep their slots unseen: delete the ring, stop its shards, and create it again`
		sharder   = `spec.sharder: Invalid value: cannot be changed, because two sharders would work on the ring for a while: delete the ring, and create it again`
		partition = `spec.partitionBy: Invalid value: cannot be changed, because shards would disagree about the slot of an object: delete the ring, stop its shards, and create it again`
	)
	for name, c := range map[string]struct {
		namespace   string
		partitionBy sharding.PartitionBy
		patch       string
		want        []string
	}{
		"another namespace":            {"a", "", `{"shards":{"namespace":"b"}}`, []string{namespace}},
		"no namespace any more":        {"a", "", `{"shards":{"namespace":null}}`, []string{noNamespace}},
		"no shards any more":           {"a", "", `{"shards":null}`, []string{noNamespace}},
		"the same namespace":           {"a", "", `{"shards":{"namespace":"a","maxLeaseDuration":"30s"},"rebalanceDelay":"1s"}`, nil},
		"by namespace instead":         {"a", "", `{"partitionBy":"Namespace"}`, []string{partition}},
		"by object instead":            {"a", sharding.PartitionByNamespace, `{"partitionBy":"Object"}`, []string{partition}},
		"by the default instead":       {"a", sharding.PartitionByNamespace, `{"partitionBy":null}`, []string{partition}},
		"by the default, which it was": {"a", sharding.PartitionByObject, `{"partitionBy":null}`, nil},
		"by an embedded sharder":       {"a", "", `{"sharder":"Embedded","admission":"None"}`, []string{sharder}},
		"by the same sharder":          {"a", "", `{"sharder":"Installed","admission":"None"}`, nil},
		"both":                         {"a", "", `{"shards":{"namespace":"b"},"partitionBy":"Namespace"}`, []string{namespace, partition}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			ring := &sharding.ClusterRing{
				ObjectMeta: metav1.ObjectMeta{Name: testenv.Name(t)},
				Spec: sharding.ClusterRingSpec{
					Resources: []sharding.RingResource{main("apps", "deployments")},
					Shards:    sharding.ShardsSpec{Namespace: c.namespace}, PartitionBy: c.partitionBy,
				},
			}
			if _, err := rings.Create(ctx, ring, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = rings.Delete(context.WithoutCancel(ctx), ring.Name, metav1.DeleteOptions{}) })
			_, err := rings.Patch(ctx, ring.Name, types.MergePatchType, []byte(`{"spec":`+c.patch+`}`), metav1.PatchOptions{})
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var got []string
			for _, cause := range causes(t, err) {
				// An immutable value is named in front of the message.
				for _, value := range []string{`"a": `, `"b": `, `"Object": `, `"Namespace": `, `"Embedded": `} {
					cause = strings.Replace(cause, ": Invalid value: "+value, ": Invalid value: ", 1)
				}
				got = append(got, cause)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Errorf("messages (-want +got):\n%s", diff)
			}
		})
	}
}
