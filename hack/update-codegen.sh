#!/usr/bin/env bash
# Generates everything that is generated: deep copies, clients and CRD manifests of our APIs. Needs the Go
# module cache, not the network.
#
# ROOT: the tree to generate into, by default this repository (hack/verify-codegen.sh gives a copy).
set -o errexit -o nounset -o pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
ROOT="${ROOT:-${REPO}}"
MODULE="github.com/clusterring/clusterring"
BOILERPLATE="${REPO}/hack/boilerplate.go.txt"
LINT_RULES="known-tags-only"

# kube_codegen.sh installs its generators from the code-generator's own module. Ours come from hack/tools, so that there is
# one set of versions, and one set of modules to have in the cache.
export GOBIN="${REPO}/bin/tools"
go() {
  if [[ "$1" == install ]]; then
    command go -C "${REPO}/hack/tools" "$@"
  else
    command go "$@"
  fi
}

# shellcheck source=/dev/null
source "$(go -C "${REPO}/hack/tools" list -m -f '{{.Dir}}' k8s.io/code-generator)/kube_codegen.sh"

# generate_api <API directory> <client directory> <CRD directory>: generates for all <group>/<version> in the API directory.
# The paths are relative to the root of the tree. What was generated before and would not be again is removed.
generate_api() {
  local api="$1" clients="$2" crds="$3"
  echo "== ${api}"
  find "${api}" -name 'zz_generated.*' -delete
  kube::codegen::gen_helpers --boilerplate "${BOILERPLATE}" --lint-rules "${LINT_RULES}" "${api}"

  rm -rf "${clients:?}" "${crds:?}"
  mkdir -p "${clients}"/{applyconfiguration,clientset,listers,informers}
  kube::codegen::gen_client --with-watch --with-applyconfig \
    --output-dir "${clients}" --output-pkg "${MODULE}/${clients}" \
    --boilerplate "${BOILERPLATE}" --lint-rules "${LINT_RULES}" "${api}"

  echo "Generating CRD manifests"
  go install sigs.k8s.io/controller-tools/cmd/controller-gen
  "${GOBIN}/controller-gen" crd paths="./${api}/..." output:crd:dir="${crds}"
}

cd "${ROOT}"
generate_api pkg/apis generated config/crd
if [[ -d sample-controller/pkg/apis ]]; then
  generate_api sample-controller/pkg/apis sample-controller/generated sample-controller/artifacts/crd
fi
if [[ -d examples/webhosting/pkg/apis ]]; then
  generate_api examples/webhosting/pkg/apis examples/webhosting/generated examples/webhosting/config/crd
fi
