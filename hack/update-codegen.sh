#!/usr/bin/env bash
# Generates everything that is generated: deep copies, registration, clients and CRD manifests of our APIs. Needs the Go
# module cache, not the network.
#
# ROOT: the tree to generate into, by default this repository (hack/verify-codegen.sh gives a copy).
set -o errexit -o nounset -o pipefail

HACK="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)"
ROOT="${ROOT:-$(dirname "${HACK}")}"
MODULE="github.com/clusterring/clusterring"
BOILERPLATE="${ROOT}/hack/boilerplate.go.txt"
LINT_RULES="known-tags-only"

# kube_codegen.sh installs its generators from the code-generator's own module. Ours come from hack/tools, so that there is
# one set of versions, and one set of modules to have in the cache.
GOBIN="$(dirname "${HACK}")/bin/tools"
export GOBIN
go() {
  if [[ "$1" == install ]]; then
    command go -C "${HACK}/tools" "$@"
  else
    command go "$@"
  fi
}

# shellcheck source=/dev/null
source "$(go -C "${HACK}/tools" list -m -f '{{.Dir}}' k8s.io/code-generator)/kube_codegen.sh"

# generate_api <API directory> <client directory> <CRD directory>: generates for all <group>/<version> in the API directory.
# Directories are relative to the root of the repository. What was generated before and is no longer comes away.
generate_api() {
  local api="$1" clients="$2" crds="$3"
  if [[ ! -d "${ROOT}/${api}" ]]; then
    return
  fi
  echo "== ${api}"
  kube::codegen::gen_helpers --boilerplate "${BOILERPLATE}" --lint-rules "${LINT_RULES}" "${ROOT}/${api}"
  kube::codegen::gen_register --boilerplate "${BOILERPLATE}" --lint-rules "${LINT_RULES}" "${ROOT}/${api}"

  rm -rf "${ROOT:?}/${clients:?}"
  mkdir -p "${ROOT}/${clients}"/{applyconfiguration,clientset,listers,informers}
  kube::codegen::gen_client --with-watch --with-applyconfig \
    --output-dir "${ROOT}/${clients}" --output-pkg "${MODULE}/${clients}" \
    --boilerplate "${BOILERPLATE}" --lint-rules "${LINT_RULES}" "${ROOT}/${api}"

  echo "Generating CRD manifests"
  rm -rf "${ROOT:?}/${crds:?}"
  go install sigs.k8s.io/controller-tools/cmd/controller-gen
  "${GOBIN}/controller-gen" crd paths="./${api}/..." output:crd:dir="${crds}"
}

cd "${ROOT}"
generate_api pkg/apis generated config/crd
generate_api sample-controller/pkg/apis sample-controller/generated sample-controller/config/crd
