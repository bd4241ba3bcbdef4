// Package sharder gives Websites to the shards of the operator from inside one of them: the older way to shard a controller,
// kept to be compared with the sharder of this project.
//
// Every replica is a shard and stands for election besides. The one that is elected watches the metadata of all Websites and
// of all that they control, keeps it in memory, and has every object that changes looked at: one without a shard is given to
// its shard, one that belongs elsewhere is asked for. There is no webhook, so a Website is born without a shard and gets it
// by a second write. Hence what this costs: memory for all objects and CPU for all of their changes in one replica, which
// the replicas that are added do not relieve.
//
// Apart from that it is as careful as the other one, and made of its parts: membership and states come from the Leases
// (packages membership and leases), decisions from package placement, writes carry resourceVersions (package relabel), and
// objects are taken by force only while the sharder holds the Lease of the shard that had them (guarantee G1 of the
// design). The elected replica is fenced by the Lease that it was elected with.
package sharder
