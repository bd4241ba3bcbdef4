package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/klog/v2"
)

// FilesConfig names PEM-encoded files: the serving certificate, with intermediates if any, its key, and the CA to trust.
type FilesConfig struct{ CertFile, KeyFile, CAFile string }

// filesInterval is the time between two looks at the files.
const filesInterval = 10 * time.Second

// Files is a Source that reads files which somebody else keeps up to date. They are read again and again: files in a
// mounted Secret are replaced by renaming directories above them, which file watches are easily fooled by.
type Files struct {
	current
	cfg FilesConfig
	// The contents last used and last refused. They belong to New and then to Run.
	used, refused contents
}

// contents are those of CertFile, KeyFile and CAFile.
type contents [3]string

// NewFiles reads the files for the first time. The error names the file that is wrong.
func NewFiles(cfg FilesConfig) (*Files, error) {
	f := &Files{cfg: cfg}
	read, err := f.read()
	if err == nil {
		err = f.use(read)
	}
	return f, err
}

// Run looks at the files until the context ends. Files that are wrong, or not yet all replaced, change nothing.
func (f *Files) Run(ctx context.Context) error {
	logger := klog.FromContext(ctx)
	ticker := time.NewTicker(filesInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		read, err := f.read()
		if err != nil {
			logger.Error(err, "Certificate files could not be read, keep the certificate")
			continue
		}
		if read == f.used || read == f.refused {
			continue
		}
		if err := f.use(read); err != nil {
			f.refused = read
			logger.Error(err, "Certificate files can't be used, keep the certificate")
			continue
		}
		logger.Info("Certificate files read", "certFile", f.cfg.CertFile)
	}
}

func (f *Files) read() (contents, error) {
	var c contents
	for i, name := range []string{f.cfg.CertFile, f.cfg.KeyFile, f.cfg.CAFile} {
		data, err := os.ReadFile(name)
		if err != nil {
			return contents{}, fmt.Errorf("read certificate file: %w", err)
		}
		c[i] = string(data)
	}
	return c, nil
}

func (f *Files) use(c contents) error {
	certificate, err := tls.X509KeyPair([]byte(c[0]), []byte(c[1]))
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", f.cfg.CertFile, f.cfg.KeyFile, err)
	}
	cas, err := decode([]byte(c[2]), pemCertificate, x509.ParseCertificate)
	if err == nil && len(cas) == 0 {
		err = errors.New("there is no PEM-encoded certificate in it")
	}
	if err != nil {
		return fmt.Errorf("CA file %s: %w", f.cfg.CAFile, err)
	}
	f.used, f.refused = c, contents{}
	f.served.Store(&served{certificate: &certificate, bundle: []byte(c[2])})
	return nil
}
