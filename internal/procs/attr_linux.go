package procs

import "syscall"

// attr asks the kernel to kill the child when the thread that started it ends; see Group.run.
func attr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
