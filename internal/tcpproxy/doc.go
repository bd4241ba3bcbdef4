// Package tcpproxy puts a network between two processes of one machine: a proxy on loopback that forwards TCP
// connections to one target, with a delay or not at all. It does not interpret what it forwards, so TLS passes through it
// end to end.
//
// It is meant for experiments and fault tests. At any time while it runs, it can do this to the connections:
//
//   - latency: every byte, and the end of a stream, comes out later than it came in, and a new connection costs a round
//     trip before its first byte. Latency does not limit the throughput: bytes wait in a queue of up to 4 MiB per
//     direction and connection, so a connection can carry 4 MiB per latency. Behind a full queue the sender
//     waits, as with TCP itself.
//   - cut: all connections end with a reset.
//   - block: a black hole, like a network that drops all packets. Nobody notices: new connections seem to be established,
//     old ones seem to be alive, and everything continues where it was when the block ends.
//   - refuse: new connections end with a reset, at once. Existing ones continue.
//
// One end closing its half of a connection closes that half at the other end, after everything that was sent before; a
// reset at one end resets the other. When the target cannot be reached the client's connection is reset. Bytes are
// counted per direction, as the client would count them: what TLS adds is included, what TCP and IP add is not.
package tcpproxy
