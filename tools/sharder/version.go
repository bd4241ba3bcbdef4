package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// The linker sets both when it builds a release (tools/release). In other builds they are empty, and the program tells
// what the Go toolchain recorded.
var version, revision string

// versionLine names the program, its version and revision, and what it was built with and for.
func versionLine() string {
	version, revision := version, revision
	if info, ok := debug.ReadBuildInfo(); ok {
		version = cmp.Or(version, info.Main.Version)
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = cmp.Or(revision, setting.Value)
			}
		}
	}
	return fmt.Sprintf("sharder %s (revision %s, %s, %s/%s)",
		cmp.Or(version, "unknown"), cmp.Or(revision, "unknown"), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
