// Package testenv gives integration tests a real control plane: etcd, kube-apiserver and kube-controller-manager.
//
// It uses, in this order:
//
//   - the existing cluster of the kubeconfig in CLUSTERRING_KUBECONFIG, as its administrator. Tests that stop components or
//     need feature gates are skipped there.
//   - the programs in the directory KUBEBUILDER_ASSETS. Programs that are missing there come from the next.
//   - bin/devcluster of this repository, which is built if necessary. The first build takes minutes and says so; run
//     "make bin/devcluster" to have it before the tests.
//
// A package starts one control plane in TestMain, and its tests ask for it with Require, which skips them under -short:
//
//	var cluster *testenv.Cluster
//
//	func TestMain(m *testing.M) { testenv.Main(m, &cluster, testenv.Options{}) }
//
//	func TestSomething(t *testing.T) {
//		testenv.Require(t, cluster)
//		namespace := cluster.Namespace(t)
//		...
//	}
//
// Nothing outlives the test process, however it ends: the supervisor of the control plane ends when the pipe to it is
// closed by the kernel. With CLUSTERRING_KEEP=1 the directory with logs and data stays.
package testenv
