package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/clusterring/clusterring/internal/testenv"
)

// TestFaultControlPlane: the API server or etcd is started again, killed, or hangs for longer than all Leases last.
func TestFaultControlPlane(t *testing.T) {
	testenv.Require(t, cluster)
	cluster.RequireControl(t)
	killAndStart := func(component testenv.Component) func(*system) {
		return func(s *system) {
			s.control((*testenv.Cluster).KillComponent, component)
			s.control((*testenv.Cluster).StartComponent, component)
		}
	}
	pause := func(component testenv.Component) func(*system) {
		return func(s *system) {
			s.control((*testenv.Cluster).PauseComponent, component)
			defer s.control((*testenv.Cluster).ResumeComponent, component)
			s.outlast(outlasting)
		}
	}
	for name, f := range map[string]fault{
		"the API server is started again": {inject: func(s *system) {
			s.control((*testenv.Cluster).RestartComponent, testenv.APIServer)
		}},
		"the API server is killed": {inject: killAndStart(testenv.APIServer)},
		"the API server is killed twice, and a shard meanwhile": {inject: func(s *system) {
			s.control((*testenv.Cluster).KillComponent, testenv.APIServer)
			s.kill(s.shard("b").Process)
			s.control((*testenv.Cluster).StartComponent, testenv.APIServer)
			killAndStart(testenv.APIServer)(s)
		}},
		"the API server hangs": {inject: pause(testenv.APIServer)},
		"etcd is started again": {inject: func(s *system) {
			s.control((*testenv.Cluster).RestartComponent, testenv.Etcd)
		}},
		"etcd is killed": {inject: killAndStart(testenv.Etcd)},
		"etcd is away": {inject: func(s *system) {
			s.control((*testenv.Cluster).StopComponent, testenv.Etcd)
			defer s.control((*testenv.Cluster).StartComponent, testenv.Etcd)
			s.outlast(outlasting)
		}},
		"etcd hangs": {inject: pause(testenv.Etcd)},
		"etcd hangs, and a shard": {shardArgs: slowWork, inject: func(s *system) {
			b := s.shard("b")
			resume := s.hang(b.Process)
			pause(testenv.Etcd)(s)
			s.endsWithoutWork(b, resume())
		}},
	} {
		f.outage = true
		t.Run(name, func(t *testing.T) { runFault(t, cluster, f) })
	}
}

// control acts on a component of the control plane.
func (s *system) control(act func(*testenv.Cluster, context.Context, testenv.Component) error, component testenv.Component) {
	s.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := act(s.cluster, ctx, component); err != nil {
		s.Fatal(err)
	}
}
