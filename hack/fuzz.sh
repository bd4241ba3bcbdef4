#!/usr/bin/env bash
# fuzz.sh [<time> [<regular expression>]]: fuzzes each target of the tree whose folder and name match, one after the other, for
# that time (10s). An input that fails stays in testdata/fuzz, and is a test from then on.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
time="${1:-10s}" pattern="${2:-.}"

# The folder and the name of each target.
mapfile -t targets < <(git grep --untracked -E '^func Fuzz[A-Za-z0-9_]+\(' -- '*_test.go' |
  sed -E 's|^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]+)\(.*|\1 \2|' | { grep -E "${pattern}" || true; } | sort)
if [[ "${#targets[@]}" -eq 0 ]]; then
  echo >&2 "no fuzz target matches ${pattern}"
  exit 1
fi

# module <folder>: prints the folder of the module that it is in.
module() {
  local dir="$1"
  while [[ "${dir}" != . && ! -e "${dir}/go.mod" ]]; do dir="$(dirname "${dir}")"; done
  echo "${dir}"
}

log="$(mktemp)"
trap 'rm -f "${log}"' EXIT
trap 'exit 130' INT
summary=() failed=0
for i in "${!targets[@]}"; do
  read -r dir target <<<"${targets[i]}"
  echo "== $((i + 1)) of ${#targets[@]}: ${target} in ${dir}, for ${time}"
  module="$(module "${dir}")"
  package="${dir}"
  [[ "${module}" == . ]] || package=".${dir#"${module}"}"
  result=ok
  # Without -short, packages with integration tests would start a control plane for each process that fuzzes. Inputs that
  # are new are made smaller for a minute each by default, and nothing else is tried meanwhile.
  go -C "${module}" test -short -run '^$' -fuzz "^${target}\$" -fuzztime "${time}" -fuzzminimizetime 100x "./${package}" </dev/null 2>&1 | tee "${log}" ||
    { result=FAILED failed=$((failed + 1)); }
  runs="$(sed -nE 's/^fuzz: elapsed: .*, execs: ([0-9]+) .*/\1/p' "${log}" | tail -n 1)"
  summary+=("$(printf '%-6s %10s runs  %s in %s' "${result}" "${runs:-no}" "${target}" "${dir}")")
done

echo "== $((${#targets[@]} - failed)) of ${#targets[@]} fuzz targets found nothing in ${time} each"
printf '%s\n' "${summary[@]}"
[[ "${failed}" -eq 0 ]]
