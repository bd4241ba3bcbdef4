// Package shard makes a controller that is written with plain client-go one shard of a ring: several replicas of it work at
// the same time, each on its own part of the objects, and never two on the same object (guarantee G1 of the design).
//
// A shard has three duties: act only while it holds its Lease (package lease), look only at its own objects (package
// informers), and let go of an object when it is asked to (package handover). This package ties them together. In an
// existing controller, about twenty lines change:
//
//	s, err := shard.New(shard.Config{Ring: "foo-controller", RESTConfig: config})
//	client := kubernetes.NewForConfig(s.RESTConfig())       // was: NewForConfig(config)
//	factory := informers.NewSharedInformerFactoryWithOptions(client, resync,
//	    informers.WithTweakListOptions(s.TweakListOptions))  // was: NewSharedInformerFactory(client, resync)
//	err = s.Controls(shard.Controlled{…})                    // for each resource that the controller creates objects of
//
//	// in the sync func, after the object was read from the lister and before anything else
//	if handled, err := s.HandOver(ctx, foo, shard.Patch(client.Foos(namespace).Patch)); handled || err != nil {
//	    return err
//	}
//	// where a controlled object is made
//	s.LabelChild(deployment, foo)
//
//	// in main, instead of leader election
//	err = s.Run(ctx, func(ctx context.Context) error {
//	    factory.Start(ctx.Done())
//	    return controller.Run(ctx, workers)
//	})
//
// # The clients
//
// The shard renews its Lease with a client of its own, made from a copy of Config.RESTConfig: own connection, no rate
// limit, so that renewals never wait for the controller's requests. The controller makes its clients from RESTConfig, a copy
// whose requests go through the fence: once the Lease may have run out, everything but reading is refused, also in a
// process that was paused and wakes up. A client that was made from the original config is not fenced. That is right for what
// has nothing to do with sharded objects, and wrong for everything else.
//
// # What a controller must keep to
//
//   - Start informers in the function that is given to Run, not before. Caches that were filled before the Lease was
//     acquired may show objects that have gone to another shard. The shard finds out and says so.
//   - Return from that function only when all workers have ended; wait for them. The Lease is released afterwards.
//   - Do not clean up after an object because a delete event came for it: it may have gone to another shard. Use a finalizer.
//   - Exit when Run returns lease.ErrLost, and start anew: what was lost stays lost.
package shard
