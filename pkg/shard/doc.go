// Package shard makes a controller that is written with plain client-go one shard of a ring: several replicas of it work at
// the same time, each on its own part of the objects, and never two on the same object (guarantee G1 of the design).
//
// Objects have slots, computed from their names, and the ring's table says which shard has which slots. In an existing
// controller, about twenty lines change:
//
//	s, err := shard.New(shard.Config{Ring: "foo-controller", RESTConfig: config})
//	foos := s.Resource(foov1.SchemeGroupVersion.WithKind("Foo"))                  // what the controller reconciles
//	deployments := s.Controlled(appsv1.SchemeGroupVersion.WithKind("Deployment")) // what it creates for a Foo
//	client, err := foo.NewForConfig(s.RESTConfig())                               // was: NewForConfig(config)
//	factory.InformerFor(&foov1.Foo{}, func(c foo.Interface, resync time.Duration) cache.SharedIndexInformer {
//	    return shard.NewInformer(foos, c.FooV1().Foos(""), shard.InformerOptions{ResyncPeriod: resync})
//	})                                                                            // and the same for Deployments
//	informer := factory.Foo().V1().Foos()                                         // as before, with handlers and lister
//
//	// in the sync function, after the object was read from the lister and before anything else
//	ctx, done, ours := foos.Begin(ctx, foo)
//	if !ours {
//	    return nil
//	}
//	defer done()
//	// where a controlled object is made
//	s.LabelChild(deployment, foo)
//
//	// in main, instead of leader election
//	err = s.Run(ctx, controller.Run)
//
// # What it does
//
// The shard holds a Lease (package lease), reads the table, and gives its word in the Lease of what it may be working on.
// When slots are gained, the objects of controlled resources are read first, then Begin permits work, and then informers of
// main resources show their objects. When slots are lost, Begin refuses, work that has begun goes on until it ends, the word is
// written, and then the informers lose the objects. Nothing is done without a word of the sharder: without it a shard keeps
// what it has.
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
//   - Use the context of Begin for all requests about an object, and call done only when all work on it has ended.
//   - Queue main objects, and look for what they control from there: an event of a controlled object may come before work on
//     its main object may begin, but an event of the main object always follows.
//   - Return from the function that is given to Run only when all workers have ended. The Lease is released afterwards.
//   - Exit when Run returns lease.ErrLost, and start again: what was lost stays lost.
//
// Tests of the controller use package shardtest.
package shard
