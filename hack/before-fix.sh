#!/usr/bin/env bash
# Shows a bug that was mended: carries out a test on the commit before, in a copy that is removed afterwards. Succeeds if the
# test fails there.
# usage: hack/before-fix.sh [-t COMMIT] [-w PATH]... FIX PACKAGE TEST [FLAG...]
#   FIX      the commit that mended it. What it changed of the package's tests is put on top of the commit before
#   PACKAGE  its folder, as in pkg/ring
#   TEST     regular expression for -run; the test is given the FLAGs, too
#   -t       the commit whose tests are put on top instead, because it came later than FIX
#   -w       what else is put on top from there: the test does not compile without it
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# fail <message>: the bug was not shown.
fail() {
  echo >&2 "$1"
  exit 1
}

tests='' with=()
while getopts t:w: option; do
  case "${option}" in
    t) tests="${OPTARG}" ;;
    w) with+=("${OPTARG}") ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[[ $# -ge 3 ]] || fail "usage: hack/before-fix.sh [-t COMMIT] [-w PATH]... FIX PACKAGE TEST [FLAG...]"
fix="$1" package="${2#./}" test="$3"
shift 3
tests="${tests:-${fix}}"
before="$(git rev-parse --verify --quiet "${fix}^")" || fail "there is no commit before ${fix}: is the history complete?"

work="$(mktemp -d)"
trap 'rm -rf "${work}"' EXIT
trap 'exit 130' INT TERM
echo "== ${test} in ${package}, on $(git log -1 --format='%h, before ' "${before}")$(git log -1 --format='%h: %s' "${fix}")"
mapfile -t changed < <(git diff-tree -r --no-commit-id --no-renames --name-only --diff-filter=d "${tests}" -- "${package}" |
  grep -E '_test\.go$|/testdata/' || true)
[[ "${#changed[@]}" -gt 0 ]] || fail "${tests} changed no test in ${package}"
git archive "${before}" | tar --extract --directory="${work}"
git archive "${tests}" -- "${changed[@]}" "${with[@]}" | tar --extract --directory="${work}"
# The control plane takes minutes to build. It is newer than the copy, so it will not be built again.
if [[ -x bin/devcluster ]] && git diff --quiet "${before}" -- tools/devcluster; then
  mkdir "${work}/bin"
  cp bin/devcluster "${work}/bin/"
fi

cd "${work}"
go test -c -o before.test "./${package}" || fail "the test does not compile there"
if (cd "${package}" && exec "${work}/before.test" -test.run "^${test}\$" -test.timeout 30m "$@") 2>&1 | tee before.log; then
  fail "nothing fails there"
fi
grep -qE '^ *--- FAIL: ' before.log || fail "the test has not come so far as to fail"
echo "== ${test} fails, as it should"
