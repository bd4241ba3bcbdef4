//go:build !linux

package process

import (
	"os"
	"syscall"
)

// dieWithParent puts a child into a process group of its own, so that an interrupt from the terminal reaches only the
// parent, which then ends its children in order. What kills them with their parent is the lifeline alone.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

func self() (string, error) { return os.Executable() }
