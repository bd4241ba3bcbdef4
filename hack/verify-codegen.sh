#!/usr/bin/env bash
# Fails if something generated is stale, missing, or would no longer be generated. Works on a copy, the tree stays as it is.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
WORK="$(mktemp -d)"
trap 'rm -rf "${WORK}"' EXIT

mkdir "${WORK}/have"
git ls-files -z --cached --others --exclude-standard |
  tar --create --null --files-from=- --ignore-failed-read --warning=no-failed-read |
  tar --extract --directory="${WORK}/have"

cp -a "${WORK}/have" "${WORK}/want"
rm -rf "${WORK}/want/generated" "${WORK}/want/config/crd"
ROOT="${WORK}/want" hack/update-codegen.sh

if ! (cd "${WORK}" && diff --recursive --unified have want); then
  echo >&2 "The generated files are not what the generators make of the tree: run 'make generate'."
  exit 1
fi
echo "The generated files are up to date."
