#!/usr/bin/env bash
# Runs the tests of all modules and prints their events, for gotestsum to make one summary of.
set -o errexit -o nounset -o pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
status=0

# Two packages at a time, because many of them start a control plane. Those that run whole systems with short
# Leases get the machine for themselves: on two cores, a neighbour would make their Leases run out.
alone='/(internal/e2e|examples/[a-z-]+)$'
# The models have no concurrency of their own, and the race detector would make exploring them take ten times as long.
model='/internal/model$'
mapfile -t together < <(go list ./... | grep -vE "${alone}|${model}")
mapfile -t one_by_one < <(go list ./... | grep -E "${alone}")
go test -json -race -p 2 -timeout 20m "${together[@]}" || status=1
# Faults on real processes are a soak of their own: make test-faults.
go test -json -race -p 1 -timeout 40m -skip '^TestFault' "${one_by_one[@]}" || status=1

go test -json -p 1 -timeout 20m ./internal/model || status=1

# Some hundred simulated systems, which the race detector would make take far longer. Each process has seeds of its own, and
# goes by a name of its own, with its lines together.
mkdir -p bin
go test -c -o bin/sim.test ./internal/sim || status=1
simulate() {
  (cd internal/sim && exec go tool test2json -t -p "internal/sim/from-$1" ../../bin/sim.test -test.v=test2json -test.timeout 30m \
    -test.run '^TestSchedules$' -sim.first "$1" -sim.n 400)
}
schedules=$(mktemp -d)
simulate 1 >"${schedules}/1" &
# In the background, Ctrl-C does not reach it.
trap 'pkill -P $! || true; rm -rf "${schedules}"' EXIT
simulate 401 >"${schedules}/401" || status=1
wait $! || status=1
cat "${schedules}"/*

# The control plane itself is not compiled with the race detector, which would take as long as its first build again.
go -C tools/devcluster test -json -timeout 20m ./... || status=1
go -C tools/devcluster/slottest test -json -timeout 20m ./... || status=1
# A package at a time, because one of them carries out an experiment.
go -C tools/experiment test -json -p 1 -timeout 20m ./... || status=1
go -C tools/kubectl-clusterring test -json -timeout 20m ./... || status=1
go -C tools/release test -json -timeout 20m ./... || status=1

exit "${status}"
