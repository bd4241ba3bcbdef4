// Package procs runs programs as children of this process and makes sure that none of them outlives it, whatever ends
// it: Stop ends them in order, and on Linux the kernel ends them when this process dies without a chance to do so
// (kill -9, a panic). On other systems a process that is killed leaves its children behind.
//
// Every child is in a process group of its own, so that a Ctrl-C in the terminal reaches this process only, which then
// decides in which order the others end. What a child prints goes to a log file. Unix only.
package procs
