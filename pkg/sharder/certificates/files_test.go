package certificates

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// write puts a new certificate into the directory and returns its serial number.
func writeFiles(t *testing.T, dir string) string {
	t.Helper()
	now := time.Now()
	p := seenFor(0, now)
	s, _, _, err := plan(state{}, now, p)
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range data {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s.serving.certificate.SerialNumber.String()
}

func filesConfig(dir string) FilesConfig {
	return FilesConfig{CertFile: filepath.Join(dir, keyCert), KeyFile: filepath.Join(dir, keyKey), CAFile: filepath.Join(dir, keyCACert)}
}

func TestFilesErrors(t *testing.T) {
	tests := map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"missing":         {func(dir string) error { return os.Remove(filepath.Join(dir, keyKey)) }, "tls.key: no such file"},
		"garbage":         {func(dir string) error { return os.WriteFile(filepath.Join(dir, keyCert), []byte("x"), 0o600) }, "tls.crt with key"},
		"another's key":   {func(dir string) error { return os.Rename(filepath.Join(dir, keyCAKey), filepath.Join(dir, keyKey)) }, "tls.crt with key"},
		"CA is a key":     {func(dir string) error { return os.Rename(filepath.Join(dir, keyCAKey), filepath.Join(dir, keyCACert)) }, "CA file"},
		"CA is empty":     {func(dir string) error { return os.WriteFile(filepath.Join(dir, keyCACert), nil, 0o600) }, "no PEM-encoded certificate"},
		"CA is a dir":     {func(dir string) error { return os.Remove(filepath.Join(dir, keyCACert)) }, "ca.crt: no such file"},
		"nothing damaged": {func(string) error { return nil }, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir)
			if err := tt.damage(dir); err != nil {
				t.Fatal(err)
			}
			f, err := NewFiles(filesConfig(dir))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want == "" && !f.Ready():
				t.Error("not ready")
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestFilesAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		serial := writeFiles(t, dir)
		cfg := filesConfig(dir)
		f, err := NewFiles(cfg)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = f.Run(t.Context()) }()
		serves := func(what, want string) {
			t.Helper()
			time.Sleep(2 * filesInterval)
			synctest.Wait()
			certificate, err := f.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := certificate.Leaf.SerialNumber.String(); got != want {
				t.Errorf("%s: serves %s, want %s", what, got, want)
			}
		}
		serves("at first", serial)
		if err := os.WriteFile(filepath.Join(dir, keyKey), []byte("half written"), 0o600); err != nil {
			t.Fatal(err)
		}
		serves("half written", serial)
		serves("written", writeFiles(t, dir))
		if want, _ := os.ReadFile(cfg.CAFile); string(f.CABundle()) != string(want) {
			t.Error("the bundle is not the file's")
		}
	})
}
