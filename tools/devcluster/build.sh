#!/usr/bin/env bash
# Builds bin/devcluster. Says nothing when it is up to date. The first build compiles Kubernetes, which takes minutes,
# so it shows how far it has come.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../bin/devcluster}
mkdir -p "$(dirname "$out")"
cd "$here"

if [[ -x $out && -z $(find . -path ./slottest -prune -o \( -name '*.go' ! -name '*_test.go' -o -name 'go.*' -o -name build.sh \) -newer "$out" -print -quit) ]]; then
  exit 0
fi

# Older builds stay usable until the new one is complete; running ones keep their file.
new=$(mktemp "$out.XXXXXX")
count=$(mktemp)
trap 'rm -f "$new" "$count"' EXIT

kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
package=k8s.io/component-base/version
ldflags="-s -w -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$(cut -d. -f2 <<<"$kubernetes")"

echo "building bin/devcluster (etcd, kube-apiserver, kube-controller-manager $kubernetes)" >&2
total=$(go list -deps . | wc -l)
start=$SECONDS

# -v names each package that is compiled; what is in the cache is not named.
go build -v -ldflags "$ldflags" -o "$new" . 2>"$count" &
build=$!
trap 'kill $build 2>/dev/null || true; rm -f "$new" "$count"' EXIT
shown=$SECONDS
while kill -0 $build 2>/dev/null; do
  if ((SECONDS - shown >= 5)); then
    shown=$SECONDS
    compiled=$(wc -l <"$count")
    if ((compiled > total / 20)); then
      progress="$compiled of $total packages compiled ($((100 * compiled / total))%)"
    else
      progress="$compiled packages compiled"
    fi
    printf '  %3d s: %s\n' $((SECONDS - start)) "$progress" >&2
  fi
  sleep 0.2
done
if ! wait $build; then
  cat "$count" >&2
  exit 1
fi
chmod 755 "$new"
mv -f "$new" "$out"
printf 'built bin/devcluster in %d s\n' $((SECONDS - start)) >&2
