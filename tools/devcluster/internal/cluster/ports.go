package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// ports of the cluster, kept in its state so that a component, or the whole cluster, comes back at the same address.
type ports struct {
	Etcd              int `json:"etcd"`
	EtcdPeer          int `json:"etcdPeer"`
	APIServer         int `json:"apiserver"`
	ControllerManager int `json:"controllerManager"`
}

// Free ports are looked for below the range from which systems take the ports of outgoing connections. Otherwise any
// connection could take the port of a component while that is stopped.
const (
	firstPort = 20000
	lastPort  = 32000
)

// complete chooses ports where there are none, and replaces those that are taken.
func (p *ports) complete() error {
	var held []net.Listener // until all are chosen: so they differ
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for _, port := range []*int{&p.Etcd, &p.EtcdPeer, &p.APIServer, &p.ControllerManager} {
		for try := 0; ; try++ {
			if *port != 0 {
				l, err := net.Listen("tcp", address(*port))
				if err == nil {
					held = append(held, l)
					break
				}
				if try > 100 {
					return fmt.Errorf("find a free port: %w", err)
				}
			}
			*port = firstPort + rand.IntN(lastPort-firstPort)
		}
	}
	return nil
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func url(port int) string { return "https://" + address(port) }
