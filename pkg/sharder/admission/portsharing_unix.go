//go:build unix

package admission

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// permitPortSharing sets SO_REUSEPORT on a socket before it is bound.
func permitPortSharing(_, _ string, conn syscall.RawConn) error {
	var optErr error
	err := conn.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return errors.Join(err, optErr)
}
