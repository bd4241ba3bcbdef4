// Command experiment measures how a sharded controller scales: it starts a control plane, sharders and instances of the
// webhosting operator as processes of their own, generates load, and measures with PromQL what comes of it.
package main

import "os"

func main() {
	os.Exit(runCommand(os.Args[1:], os.Stdout, os.Stderr))
}
