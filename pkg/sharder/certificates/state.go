package certificates

import (
	"fmt"
	"maps"
)

// The keys of the Secret. ca.crt is the bundle to trust, so that others can mount it; the keys in ca.key are in the same
// order.
const (
	keyCACert = "ca.crt"
	keyCAKey  = "ca.key"
	keyCert   = "tls.crt"
	keyKey    = "tls.key"
)

// state is what the Secret holds.
type state struct {
	// cas are in the order in which they were made. The newest may not be used yet, the others no more.
	cas []pair
	// serving is the zero value if there is none.
	serving pair
}

// parseState reads the Secret. An error says that it is not as this package left it, and that there is no state in it that
// could be used.
func parseState(data map[string][]byte) (state, error) {
	cas, err := decodePairs(data[keyCACert], data[keyCAKey])
	if err != nil {
		return state{}, fmt.Errorf("%s and %s: %w", keyCACert, keyCAKey, err)
	}
	for _, ca := range cas {
		if !ca.certificate.IsCA {
			return state{}, fmt.Errorf("%s: the certificate %q is no CA", keyCACert, ca.certificate.Subject)
		}
		// Nobody would trust what such a CA signs, and so it would sign anew for ever.
		if err := ca.certificate.CheckSignatureFrom(ca.certificate); err != nil {
			return state{}, fmt.Errorf("%s: the certificate %q did not sign itself: %w", keyCACert, ca.certificate.Subject, err)
		}
	}
	serving, err := decodePairs(data[keyCert], data[keyKey])
	if err != nil {
		return state{cas: cas}, fmt.Errorf("%s and %s: %w", keyCert, keyKey, err)
	}
	return state{cas: cas, serving: serving[0]}, nil
}

// encode returns data with the state in it, and what else it held.
func (s state) encode(data map[string][]byte) (map[string][]byte, error) {
	caKeys, err := encodeKeys(s.cas...)
	if err != nil {
		return nil, err
	}
	key, err := encodeKeys(s.serving)
	if err != nil {
		return nil, err
	}
	out := maps.Clone(data)
	if out == nil {
		out = map[string][]byte{}
	}
	out[keyCACert], out[keyCAKey] = encodeCertificates(s.cas...), caKeys
	out[keyCert], out[keyKey] = encodeCertificates(s.serving), key
	return out, nil
}

// ids returns the names of all certificates.
func (s state) ids() []string {
	var ids []string
	for _, ca := range s.cas {
		ids = append(ids, ca.id())
	}
	if s.serving.certificate != nil {
		ids = append(ids, s.serving.id())
	}
	return ids
}
