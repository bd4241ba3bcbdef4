// Package certificates provides the serving certificate of the admission server and the CA that the API server is to trust,
// from one of two sources: a CA of the sharder's own, kept in a Secret that all replicas share, or files that somebody else
// keeps up to date, such as cert-manager.
//
// The own CA is replaced without a moment in which the API server and a replica disagree. A new CA is only trusted at
// first: the bundle has both. Nothing is signed with it before it has been in the bundle for the overlap, which gives the
// webhook configurations time to follow. The old one stays in the bundle for the overlap after the serving certificate was
// replaced, which gives the other replicas time to follow. The overlap is counted from when this process saw the
// certificate for the first time, so the clocks of the replicas need not agree; certificates are valid from a day
// before they are made, so that clocks that are behind do no harm either.
package certificates
