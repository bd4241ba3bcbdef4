#!/usr/bin/env bash
# fuzz.sh <time> <regular expression>: fuzzes each target of the main module that matches for that time.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
git grep --untracked -E '^func Fuzz[A-Za-z0-9_]+\(' -- '*_test.go' ':!tools/devcluster' |
  sed -E 's|^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]+)\(.*|\1 \2|' | grep -E "$2" |
  while read -r dir target; do
    echo "== ${dir} ${target}"
    go test -run '^$' -fuzz "^${target}\$" -fuzztime "$1" "./${dir}" </dev/null
  done
