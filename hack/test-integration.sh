#!/usr/bin/env bash
# Runs the tests of those packages that start a control plane.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
mapfile -t packages < <(
  go list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... |
    awk '/ [^ ]*\/internal\/testenv( |$)/ {print $1}'
)
# One at a time, because whole systems with short Leases are among them.
go test -race -p 1 -timeout 40m "${packages[@]}"
