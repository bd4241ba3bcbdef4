package process

import "syscall"

// dieWithParent puts a child into a process group of its own, so that an interrupt from the terminal reaches only the
// parent, which then ends its children in order; and has the kernel kill it when the parent dies.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// self names the running program, also after the file has been replaced by a newer build.
func self() (string, error) { return "/proc/self/exe", nil }
