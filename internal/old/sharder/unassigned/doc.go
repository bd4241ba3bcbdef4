// Package unassigned watches, in every replica, for main objects that have no shard, and gives each to one.
//
// Objects are born assigned, so in steady state the watches are silent, and nothing is stored behind them (G6). When
// admission was not reached, an object is healed within milliseconds. The leader acts at once, the others after a second and
// only if the object is still as they saw it. Giving an object that has no shard to the eligible owner of its key is what
// admission does in every replica, too, and it is safe for anyone to do: nobody works on the object yet. So a leader that
// was killed leaves nothing unassigned for longer than about a second.
//
// The API server can't select by the labels of namespaces. So a watch also sees what has no shard in namespaces that do not
// belong to the ring, and passes over it: that costs a little time when the watch begins and when such an object changes, and
// no memory.
//
// A ring without shards is not watched. When its first shard comes, the watch begins with everything that has waited.
package unassigned
