package cluster

import (
	"path/filepath"
	"slices"
)

// The range of cluster IPs, and the first of them, which is the API server's.
const (
	serviceRange = "10.0.0.0/16"
	serviceIP    = "10.0.0.1"
)

func etcdFlags(o *Options, f *files, p ports) []string {
	flags := []string{
		"--name=devcluster",
		"--data-dir=" + filepath.Join(o.Dir, "etcd"),
		"--listen-client-urls=" + url(p.Etcd),
		"--advertise-client-urls=" + url(p.Etcd),
		"--listen-peer-urls=" + url(p.EtcdPeer),
		"--initial-advertise-peer-urls=" + url(p.EtcdPeer),
		"--initial-cluster=devcluster=" + url(p.EtcdPeer),
		"--trusted-ca-file=" + f.etcdCA.CertFile,
		"--cert-file=" + f.etcdCert,
		"--key-file=" + f.etcdKey,
		"--client-cert-auth",
		"--peer-trusted-ca-file=" + f.etcdCA.CertFile,
		"--peer-cert-file=" + f.etcdCert,
		"--peer-key-file=" + f.etcdKey,
		"--peer-client-cert-auth",
		// One member has nobody to elect but itself, which it does after this long.
		"--heartbeat-interval=20",
		"--election-timeout=200",
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
	}
	if o.UnsafeNoFsync {
		flags = append(flags, "--unsafe-no-fsync")
	}
	return slices.Concat(flags, o.EtcdArgs)
}

func apiServerFlags(o *Options, f *files, p ports) []string {
	flags := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + port(p.APIServer),
		"--advertise-address=127.0.0.1",
		// Endpoints of the service "kubernetes" may not be on loopback, and nothing would use them.
		"--endpoint-reconciler-type=none",
		"--tls-cert-file=" + f.apiCert,
		"--tls-private-key-file=" + f.apiKey,
		"--client-ca-file=" + f.ca.CertFile,
		// For extension API servers. Without it the controller manager complains all the time.
		"--requestheader-client-ca-file=" + f.proxyCA.CertFile,
		"--requestheader-allowed-names=" + proxyUser,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + f.proxyCert,
		"--proxy-client-key-file=" + f.proxyKey,
		"--etcd-servers=" + url(p.Etcd),
		"--etcd-cafile=" + f.etcdCA.CertFile,
		"--etcd-certfile=" + f.etcdClientCert,
		"--etcd-keyfile=" + f.etcdClientKey,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + f.accountPub,
		"--service-account-signing-key-file=" + f.accountKey,
		"--service-cluster-ip-range=" + serviceRange,
		"--authorization-mode=RBAC",
		"--allow-privileged=true",
		"--profiling=true",
		// What a benchmark meets should be the code that it measures, not the server's protection against it.
		"--max-requests-inflight=4000",
		"--max-mutating-requests-inflight=2000",
	}
	if o.builtIn(APIServer) { // older ones do not know this file
		flags = append(flags, "--authentication-config="+f.authentication)
	}
	return slices.Concat(flags, optional(o.FeatureGates, "--feature-gates="), optional(o.RuntimeConfig, "--runtime-config="), o.APIServerArgs)
}

func controllerManagerFlags(o *Options, f *files, p ports) []string {
	kubeconfig := controllerManagerKubeconfig(o.Dir)
	flags := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + port(p.ControllerManager),
		"--tls-cert-file=" + f.kcmCert,
		"--tls-private-key-file=" + f.kcmKey,
		"--client-ca-file=" + f.ca.CertFile,
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--root-ca-file=" + f.ca.CertFile,
		"--cluster-signing-cert-file=" + f.ca.CertFile,
		"--cluster-signing-key-file=" + f.ca.KeyFile,
		"--service-account-private-key-file=" + f.accountKey,
		"--service-cluster-ip-range=" + serviceRange,
		"--use-service-account-credentials",
		// There is one controller manager, so nobody to elect. It starts at once, and keeps running when the API server
		// is away for a while; a leader would give up and exit.
		"--leader-elect=false",
		// Every controller has a client of its own with this limit.
		"--kube-api-qps=500",
		"--kube-api-burst=1000",
		"--concurrent-deployment-syncs=20",
		"--concurrent-replicaset-syncs=20",
		"--concurrent-gc-syncs=20",
		"--concurrent-namespace-syncs=20",
		"--profiling=true",
	}
	return slices.Concat(flags, optional(o.FeatureGates, "--feature-gates="), o.ControllerManagerArgs)
}

func optional(value, flag string) []string {
	if value == "" {
		return nil
	}
	return []string{flag + value}
}
