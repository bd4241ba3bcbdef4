// Package pki makes the keys and certificates of a development cluster: certificate authorities that last as long as
// the cluster's directory, and leaf certificates that are cheap enough to be made anew at every start.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Lifetime of everything that is issued. A development cluster that lives longer is started anew.
const lifetime = 10 * 365 * 24 * time.Hour

// Authority is a certificate authority whose certificate and key are files.
type Authority struct {
	CertFile, KeyFile string

	cert *x509.Certificate
	key  crypto.Signer
}

// Pair is a certificate and its key, PEM encoded.
type Pair struct {
	Cert, Key []byte
}

// LoadAuthority reads the authority called name from dir, or makes it when it is not there.
func LoadAuthority(dir, name string) (*Authority, error) {
	a := &Authority{CertFile: filepath.Join(dir, name+".crt"), KeyFile: filepath.Join(dir, name+".key")}
	certPEM, err := os.ReadFile(a.CertFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a, a.create(name)
	}
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(a.KeyFile)
	if err != nil {
		return nil, err
	}
	if a.cert, err = parseCert(certPEM); err != nil {
		return nil, fmt.Errorf("read %s: %w", a.CertFile, err)
	}
	if a.key, err = parseKey(keyPEM); err != nil {
		return nil, fmt.Errorf("read %s: %w", a.KeyFile, err)
	}
	return a, nil
}

func (a *Authority) create(name string) error {
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	template, err := newTemplate(pkix.Name{CommonName: "devcluster-" + name})
	if err != nil {
		return err
	}
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	a.key = key
	// The certificate is what LoadAuthority looks for, so it is written last.
	if err := os.WriteFile(a.KeyFile, keyPEM, 0o600); err != nil {
		return err
	}
	return os.WriteFile(a.CertFile, encode("CERTIFICATE", der), 0o644)
}

// CertPEM returns the authority's own certificate.
func (a *Authority) CertPEM() []byte {
	return encode("CERTIFICATE", a.cert.Raw)
}

// Client issues a certificate that authenticates user as a member of groups.
func (a *Authority) Client(user string, groups ...string) (Pair, error) {
	template, err := newTemplate(pkix.Name{CommonName: user, Organization: groups})
	if err != nil {
		return Pair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.issue(template)
}

// Server issues a certificate for a server on loopback that is also reached under names. Members of an etcd cluster are
// each other's clients, so it serves for both ends.
func (a *Authority) Server(names ...string) (Pair, error) {
	template, err := newTemplate(pkix.Name{CommonName: "localhost"})
	if err != nil {
		return Pair{}, err
	}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return a.issue(template)
}

func (a *Authority) issue(template *x509.Certificate) (Pair, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue a certificate for %q: %w", template.Subject.CommonName, err)
	}
	return Pair{Cert: encode("CERTIFICATE", der), Key: keyPEM}, nil
}

// Write puts the pair into dir as name.crt and name.key and returns their paths.
func (p Pair) Write(dir, name string) (certFile, keyFile string, err error) {
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if err := os.WriteFile(keyFile, p.Key, 0o600); err != nil {
		return "", "", err
	}
	return certFile, keyFile, os.WriteFile(certFile, p.Cert, 0o644)
}

// SigningKey returns the paths of a key that signs service account tokens and of its public half. Tokens outlive a
// restart of the cluster, so an existing key is kept.
func SigningKey(dir string) (private, public string, err error) {
	private, public = filepath.Join(dir, "service-account.key"), filepath.Join(dir, "service-account.pub")
	if _, err := os.Stat(public); err == nil {
		return private, public, nil
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return "", "", err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(private, keyPEM, 0o600); err != nil {
		return "", "", err
	}
	return private, public, os.WriteFile(public, encode("PUBLIC KEY", der), 0o644)
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, encode("EC PRIVATE KEY", der), nil
}

func newTemplate(subject pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-24 * time.Hour), // tests turn clocks back
		NotAfter:     now.Add(lifetime),
	}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func parseCert(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(data []byte) (crypto.Signer, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("not PEM")
	}
	return x509.ParseECPrivateKey(block.Bytes)
}
