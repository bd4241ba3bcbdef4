package rings

import (
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/clusterring/clusterring/pkg/apis/sharding/v1alpha1"
	"github.com/clusterring/clusterring/pkg/sharder/resources"
	"github.com/clusterring/clusterring/pkg/sharder/snapshot"
)

// TestPermissions: what the sharder may not do is told with what to do about it, and only resources that it may not label are
// left out.
func TestPermissions(t *testing.T) {
	const lacksLeases = "not allowed to patch, delete Leases in the namespace shards,"
	const run = "kubectl create role clusterring-sharder-leases -n shards --verb=get,patch,delete --resource=leases.coordination.k8s.io && " +
		"kubectl create rolebinding clusterring-sharder-leases -n shards --role=clusterring-sharder-leases --user=system:serviceaccount:s:x"
	for name, tt := range map[string]struct {
		denied  []string // verb resource namespace
		want    []string // in the message
		granted int
	}{
		"nothing missing":  {nil, []string{"The sharder may"}, 1},
		"leases":           {[]string{"patch leases shards", "delete leases shards"}, []string{lacksLeases, run}, 1},
		"leases elsewhere": {[]string{"patch leases other", "patch leases "}, []string{"The sharder may"}, 1},
		"objects":          {[]string{"patch configmaps "}, []string{"not allowed to patch configmaps,"}, 0},
		"both":             {[]string{"patch configmaps ", "patch leases shards", "delete leases shards"}, []string{lacksLeases, run, "not allowed to patch configmaps,"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			client := fake.NewClientset()
			client.PrependReactor("create", "selfsubjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
				review := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SelfSubjectAccessReview)
				of := review.Spec.ResourceAttributes
				review.Status.Allowed = !slices.Contains(tt.denied, of.Verb+" "+of.Resource+" "+of.Namespace)
				return true, review, nil
			})
			client.PrependReactor("create", "selfsubjectreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
				user := authenticationv1.UserInfo{Username: "system:serviceaccount:s:x"}
				return true, &authenticationv1.SelfSubjectReview{Status: authenticationv1.SelfSubjectReviewStatus{UserInfo: user}}, nil
			})
			c := &Controller{cfg: Config{Client: client, Namespace: "s"}, memories: map[string]*memory{}}
			main := []snapshot.Main{{Resource: resources.Resource{GVR: schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}}}}
			p, err := c.permissionsFor(t.Context(), &snapshot.Ring{
				Object:         &v1alpha1.ClusterRing{ObjectMeta: metav1.ObjectMeta{Name: "r"}},
				ShardNamespace: "shards", Rule: snapshot.Rule{Main: main},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := p.condition()
			if ok := len(tt.want) == 1 && tt.want[0] == "The sharder may"; (got.Status == metav1.ConditionTrue) != ok {
				t.Errorf("the condition is %+v", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(got.Message, want) {
					t.Errorf("the message is %q, want %q in it", got.Message, want)
				}
			}
			if n := len(p.granted(main)); n != tt.granted {
				t.Errorf("%d resources are granted, want %d", n, tt.granted)
			}
		})
	}
}
