// Package tcpproxy puts a network between two processes of one machine: a proxy on loopback that forwards TCP
// connections to one target, later than they came in, or not at all. It knows nothing of what it forwards, so TLS goes
// through it from end to end.
//
// It is meant for experiments and fault tests. What it can do to the connections, at any time while it runs:
//
//   - latency: every byte, and the end of a stream, comes out later than it came in, and a new connection costs a round
//     trip before its first byte. Latency does not limit the throughput: what is on its way waits in a queue of up to
//     4 MiB per direction and connection, so a connection can carry 4 MiB per latency. Behind a full queue the sender
//     waits, as with TCP itself.
//   - cut: all connections end with a reset.
//   - block: a black hole, as a network that drops all packets. Nobody is told anything: new connections seem to be
//     established, old ones seem to be alive, and everything goes on where it was when the block ends.
//   - refuse: new connections end with a reset, at once. Those that exist go on.
//
// One end closing its half of a connection closes that half at the other end, after everything that was sent before; a
// reset at one end resets the other. When the target cannot be reached the client's connection is reset. Bytes are
// counted per direction, as the client would count them: what TLS adds is included, what TCP and IP add is not.
package tcpproxy
