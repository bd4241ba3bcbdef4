package certificates

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"strings"
	"testing"
	"time"
)

// powerlessCA returns a CA that must not sign certificates.
func powerlessCA(t testing.TB) pair {
	t.Helper()
	ca, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "powerless"}, KeyUsage: x509.KeyUsageDigitalSignature,
		IsCA: true, BasicConstraintsValid: true, NotAfter: epoch.Add(30 * time.Hour),
	}, nil, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// TestForeignCA: a CA in the Secret that the sharder can't work with is refused. It would be kept otherwise, and what it
// signs would be signed anew each time that somebody looks.
func TestForeignCA(t *testing.T) {
	good, _, _, err := plan(state{}, epoch, seenFor(0, epoch))
	if err != nil {
		t.Fatal(err)
	}
	intermediate, err := issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "intermediate"}, KeyUsage: x509.KeyUsageCertSign,
		IsCA: true, BasicConstraintsValid: true, NotAfter: epoch.Add(30 * time.Hour),
	}, &good.cas[0], epoch)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ca   pair
		want string
	}{
		"must not sign":     {powerlessCA(t), `ca.crt: the certificate "CN=powerless" did not sign itself: `},
		"signed by another": {intermediate, `ca.crt: the certificate "CN=intermediate" did not sign itself: `},
		"the sharder's":     {good.cas[0], ""},
		"no CA":             {good.serving, `ca.crt: the certificate "CN=clusterring-sharder" is no CA`},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := state{cas: []pair{tc.ca}, serving: good.serving}.encode(nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = parseState(data)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tc.want)) {
				t.Errorf("parseState: got %v, want %q", err, tc.want)
			}
		})
	}
}
