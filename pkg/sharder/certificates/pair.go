package certificates

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"
)

// backdate is how long before it was made a certificate is valid.
const backdate = 24 * time.Hour

// pair is a certificate and its private key.
type pair struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// id names the certificate.
func (p pair) id() string {
	sum := sha256.Sum256(p.certificate.Raw)
	return string(sum[:])
}

// renewAt returns when two thirds of the certificate's lifetime are over.
func (p pair) renewAt() time.Time {
	made := p.certificate.NotBefore.Add(backdate)
	return made.Add(p.certificate.NotAfter.Sub(made) * 2 / 3)
}

func (p pair) validAt(t time.Time) bool {
	return !t.Before(p.certificate.NotBefore) && t.Before(p.certificate.NotAfter)
}

func (p pair) signedBy(ca pair) bool {
	return p.certificate.CheckSignatureFrom(ca.certificate) == nil
}

// covers tells whether the certificate is good for all hosts.
func (p pair) covers(hosts []string) bool {
	return !slices.ContainsFunc(hosts, func(host string) bool { return p.certificate.VerifyHostname(host) != nil })
}

// hosts returns the names and addresses that the certificate is for.
func (p pair) hosts() []string {
	hosts := slices.Clone(p.certificate.DNSNames)
	for _, ip := range p.certificate.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}

func (p pair) tls() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{p.certificate.Raw}, PrivateKey: p.key, Leaf: p.certificate}
}

func newCA(now time.Time, lifetime time.Duration) (pair, error) {
	return issue(&x509.Certificate{
		Subject:               pkix.Name{CommonName: fmt.Sprintf("clusterring-sharder-ca@%d", now.Unix())},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		NotAfter:              now.Add(lifetime),
	}, nil, now)
}

func newServing(ca pair, hosts []string, now time.Time, lifetime time.Duration) (pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "clusterring-sharder"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotAfter:    now.Add(lifetime),
	}
	if template.NotAfter.After(ca.certificate.NotAfter) {
		template.NotAfter = ca.certificate.NotAfter
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	return issue(template, &ca, now)
}

// issue makes a key and signs the template for it, with itself if there is no CA.
func issue(template *x509.Certificate, ca *pair, now time.Time) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make a key: %w", err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return pair{}, fmt.Errorf("make a serial number: %w", err)
	}
	template.NotBefore = now.Add(-backdate)
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.certificate, ca.key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return pair{}, fmt.Errorf("sign a certificate: %w", err)
	}
	certificate, err := x509.ParseCertificate(raw)
	if err != nil {
		return pair{}, fmt.Errorf("read the new certificate: %w", err)
	}
	return pair{certificate: certificate, key: key}, nil
}

const (
	pemCertificate = "CERTIFICATE"
	pemKey         = "EC PRIVATE KEY"
)

func encodeCertificates(pairs ...pair) []byte {
	var out bytes.Buffer
	for _, p := range pairs {
		_ = pem.Encode(&out, &pem.Block{Type: pemCertificate, Bytes: p.certificate.Raw}) // a buffer takes everything
	}
	return out.Bytes()
}

func encodeKeys(pairs ...pair) ([]byte, error) {
	var out bytes.Buffer
	for _, p := range pairs {
		der, err := x509.MarshalECPrivateKey(p.key)
		if err != nil {
			return nil, fmt.Errorf("encode a key: %w", err)
		}
		_ = pem.Encode(&out, &pem.Block{Type: pemKey, Bytes: der})
	}
	return out.Bytes(), nil
}

// decodePairs reads certificates and their keys, which must be in the same order.
func decodePairs(certificates, keys []byte) ([]pair, error) {
	certs, err := decode(certificates, pemCertificate, x509.ParseCertificate)
	if err != nil {
		return nil, err
	}
	privates, err := decode(keys, pemKey, x509.ParseECPrivateKey)
	if err != nil {
		return nil, err
	}
	if len(certs) == 0 || len(certs) != len(privates) {
		return nil, fmt.Errorf("%d certificates with %d keys", len(certs), len(privates))
	}
	pairs := make([]pair, len(certs))
	for i := range certs {
		if !privates[i].PublicKey.Equal(certs[i].PublicKey) {
			return nil, errors.New("a key does not belong to its certificate")
		}
		pairs[i] = pair{certificate: certs[i], key: privates[i]}
	}
	return pairs, nil
}

func decode[T any](data []byte, blockType string, parse func([]byte) (T, error)) ([]T, error) {
	var out []T
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return out, nil
		}
		if block.Type != blockType {
			return nil, fmt.Errorf("unexpected PEM block %q", block.Type)
		}
		value, err := parse(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse %s: %w", blockType, err)
		}
		out = append(out, value)
	}
}
