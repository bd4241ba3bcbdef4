//go:build !unix

package admission

import (
	"errors"
	"syscall"
)

func permitPortSharing(_, _ string, _ syscall.RawConn) error {
	return errors.New("sharing a port is not supported on this system")
}
