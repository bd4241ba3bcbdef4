// Package repotest checks the repository's own rules: what may import what, which modules may be required, that packages
// have comments and files stay small, and that the documentation's links, commands and flags exist.
//
// It has only tests. `make verify-docs` runs them.
package repotest
