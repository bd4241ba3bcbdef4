#!/usr/bin/env bash
# Runs the tests with faults on real processes, COUNT times in a row, and prints a summary. Logs of runs that fail are kept.
# usage: hack/test-faults.sh COUNT [REGEXP]
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
count=$1
tests=${2:-'^Test(Fault|Churn|KillLeader|LeaderHangs)'}
out=_artifacts/faults
rm -rf "${out}"
mkdir -p "${out}"
go test -c -o "${out}/e2e.test" ./internal/e2e

passed=0
for ((run = 1; run <= count; run++)); do
  log=${PWD}/${out}/run-${run}.log
  kept=${PWD}/${out}/run-${run}
  mkdir -p "${kept}"
  begin=${SECONDS}
  result=failed
  # In the package's directory, from which the tests find the repository.
  if (cd internal/e2e && exec "../../${out}/e2e.test" -test.run "${tests}" -test.v -test.timeout 30m -test.artifacts -test.outputdir "${kept}") >"${log}" 2>&1; then
    result=passed
    passed=$((passed + 1))
    rm -rf "${kept}"
  fi
  echo "run ${run} of ${count}: ${result} in $((SECONDS - begin)) s, $(grep -cE '^ *--- PASS' "${log}" || true) tests passed"
  grep -E '^ *--- FAIL' "${log}" || true
done

echo
echo "${passed} of ${count} runs passed"
echo "longest recovery in each run:"
for ((run = 1; run <= count; run++)); do
  sed -nE 's/.*all was well ([0-9.]+m?s) after the fault.*/\1/p' "${out}/run-${run}.log" |
    awk '{ms = $1 ~ /ms$/ ? $1 + 0 : 1000 * $1} ms > most {most = ms} END {printf " %.1fs", most / 1000}'
done
echo
echo "failures by test:"
cat "${out}"/run-*.log | sed -nE 's/^ *--- FAIL: ([^ ]+) .*/  \1/p' | sort | uniq -c | sort -rn
[[ ${passed} == "${count}" ]]
