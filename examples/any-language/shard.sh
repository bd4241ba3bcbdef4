#!/usr/bin/env bash
# A shard of the ring "checksums" in bash and kubectl, to show the contract of docs/implement-sharding.md, not to be used in
# earnest. It does what examples/library does, and can be in one ring with it: it writes the checksum of every ConfigMap
# that is its own into an annotation.
#
# Everything happens in one loop, one thing at a time. So nothing is busy when the Lease is written, but for requests without
# an answer. Linux, bash 5, kubectl; $KUBECONFIG says which cluster, $LEASE_SECONDS how long the Lease is valid.
set -o nounset -o pipefail # not errexit: here, requests fail as a matter of course
export LC_ALL=C

readonly shard=${1:?usage: shard.sh NAME-OF-THE-SHARD}
readonly ring=checksums namespace=checksums
readonly annotation=example.clusterring.dev/checksum

# The words of the contract.
readonly ring_label=sharding.clusterring.dev/ring
readonly slot_label=slot.sharding.clusterring.dev/$ring
readonly holds_annotation=sharding.clusterring.dev/holds
readonly released_annotation=sharding.clusterring.dev/released

# Seconds. What begins just before the last moment to act is sent within the time for a request, and the API server gives
# it up after as much again: before others may take the Lease.
readonly duration=${LEASE_SECONDS:-15} # how long others wait after a renewal
readonly act_for=$((duration / 2))     # how long we act after we have sent one
readonly renew_every=$((duration / 5))
readonly request=$((duration / 5)) # how long a request may take

read -r random </proc/sys/kernel/random/uuid
readonly identity=${shard}_$random

readonly sep=$'\x1f' # in no name, and in JSON only as \u001f

say() { printf '%(%T)T %s: %s\n' -1 "$shard" "$*" >&2; }

# k is kubectl for a single request. It sends --request-timeout to the API server, too.
k() { timeout "$request" kubectl --request-timeout="${request}s" --namespace="$namespace" "$@"; }

# tick sets $now, by a clock that nobody can set: seconds since this machine was started, times asleep included.
tick() { read -r now _ </proc/uptime && now=${now%.*}; }

#--- 1. Hold a Lease ---------------------------------------------------------------------------------------------------

# $lease is the Lease as last read or written, as JSON, and $verb what makes it ours. The others are what was read in it.
lease='' verb='' uid='' holder='' seconds='' transitions='' renewed='' spec=''
ours='' wrote='' deadline=0 renew_at=0 # the UID of the Lease that we hold, and the last renewal

read_lease() {
  local seen
  seen=$(k get lease "$shard" --ignore-not-found -o jsonpath="{.metadata.uid}$sep{.spec.holderIdentity}$sep\
{.spec.leaseDurationSeconds}$sep{.spec.leaseTransitions}$sep{.spec.renewTime}$sep{.spec}$sep{@}") || return 1
  IFS=$sep read -r uid holder seconds transitions renewed spec lease <<<"$seen"
  verb=replace
  [[ -n $lease ]] || verb=create transitions=-1 \
    lease='{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "'$shard'"}, "spec": {}}'
}

# write_lease VERB SPEC creates or replaces the Lease: what was seen of it, renewed, with the change of its spec and with
# what we hold. That has the resourceVersion in it, so it fails if somebody else has written the Lease since.
write_lease() {
  local sent time holds='' released=null written
  tick
  sent=$now time=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
  ((revision == 0)) || holds=', "'$holds_annotation'": "'"$revision $own"'"'
  [[ $2 != '"holderIdentity": ""' ]] || released='"'$identity'"' # or somebody else might have emptied it
  written=$(k patch --local -f - --type=merge -o json -p '{
    "metadata": {"labels": {"'$ring_label'": "'$ring'"}, "annotations": {"'$released_annotation'": '$released"$holds"'}},
    "spec": {"renewTime": "'"$time"'", '"$2"'}}' <<<"$lease" | k "$1" -f - -o jsonpath="{.metadata.uid}$sep{@}") || return 1
  IFS=$sep read -r ours lease <<<"$written"
  wrote=$time deadline=$((sent + act_for)) renew_at=$((sent + renew_every))
}

# acquire takes the Lease when it is free, or ours as the answer to an attempt got lost, or silent for long enough. The renewal
# that follows at once tells the sharder that we are alive.
acquire() {
  local watched='' since=0
  while [[ -z $stopping ]]; do
    if read_lease; then
      tick
      [[ $uid$spec == "$watched" ]] || watched=$uid$spec since=$now
      if [[ -z $holder || $holder == "$identity" ]] || ((now - since > ${seconds:-15})); then
        write_lease "$verb" '"holderIdentity": "'"$identity"'", "leaseDurationSeconds": '$duration',
          "leaseTransitions": '$((transitions + 1)) && renew_at=0 && say "holds its Lease, as $identity" && return
      fi
    fi
    sleep 1
  done
}

# renew HOLDER renews the Lease, or releases it for nobody. It tries again at once after a conflict: the sharder writes a
# label, which is fine. It leaves it at that for now when the Lease cannot even be read.
renew() {
  while may_act; do
    write_lease replace '"holderIdentity": "'"$1"'"' && return
    read_lease || return
    [[ $uid == "$ours" && $holder == "$identity" && ! $renewed < $wrote ]] || lose "'$holder' has it, or it is not as we wrote it"
  done
}

# may_act ends the process when it is too late to do anything. Whatever it had in mind is lost with it.
may_act() {
  tick
  ((now < deadline)) || lose "it was not renewed for $act_for seconds"
}

lose() {
  say "has lost its Lease: $1"
  exit 1
}

#--- 2. Know your slots ------------------------------------------------------------------------------------------------

revision=0 own='' # of the last table: its number, and our slots without those to release, separated by commas

expand() { for range in ${1//,/ }; do seq "${range%-*}" "${range#*-}"; done | sort; }

# take_table LINE takes a table if it is for this very ring and newer. The renewal that follows at once answers.
take_table() {
  local type for of founding table name slots releasing before=$own # from $table, because JSON has large numbers in full
  IFS=$sep read -r type for of founding table name slots releasing <<<"$1"
  [[ $type != DELETED && -n $of && $of == "$for" && $slots$releasing =~ ^[0-9,-]*$ && $table =~ \"revision\":([0-9]+) ]] &&
    ((BASH_REMATCH[1] > revision)) || return
  revision=${BASH_REMATCH[1]} renew_at=0
  [[ $founding != true ]] || return 0 # the table before was lost: keep what we have, and show it
  [[ $name == "$shard" ]] || slots='' # the row is not ours
  own=$(comm -23 <(expand "$slots") <(expand "$releasing") | paste -sd,)
  [[ $own == "$before" ]] || close objects # and list again, with another selector
  say "has the slots ${slots:-(none)} without ${releasing:-(none)} in revision $revision"
}

# find_slot NAME sets $slot to the slot of a ConfigMap, which depends on nothing else: not on labels that anybody can write.
find_slot() {
  local key=/ConfigMap/$namespace/$1 p=$(((1 << 31) - 1)) power=1 x=0 i code
  for ((i = 0; i < ${#key}; i++)); do
    printf -v code %d "'${key:i:1}"
    ((power = power * 48271 % p, x = (x + (code - 30) * power) % p))
  done
  ((x = (x * x + 1013904223) % p, x = (x * x + 1664525) % p, slot = x % 1024, 1))
}

#--- 3. Look at your own objects only ----------------------------------------------------------------------------------

declare -A fd=() watcher=() part=() # of each stream

# watch STREAM FORMAT WHAT... reads the present state and goes on as a watch: one line for each object and each change, on a
# descriptor. Text that others have written is JSON, so that there is no doubt about where a line ends.
watch() {
  local from
  exec {from}< <(exec kubectl --namespace="$namespace" get "${@:3}" --watch --output-watch-events -o jsonpath="$2"$'\n')
  fd[$1]=$from watcher[$1]=$! part[$1]=''
}

close() {
  [[ -v fd[$1] ]] || return 0
  kill "${watcher[$1]}" 2>/dev/null
  exec {fd[$1]}<&-
  wait "${watcher[$1]}" 2>/dev/null
  unset "fd[$1]"
}

# next STREAM SECONDS sets $line to the next line. It fails if there is none within the time.
next() {
  local text='' status
  [[ -v fd[$1] ]] || { sleep "$2" && return 1; }
  IFS= read -r -t "$2" -u "${fd[$1]}" text
  status=$? part[$1]+=$text line=${part[$1]}
  ((status > 128)) && return 1 # in the middle of a line, perhaps
  part[$1]=''
  ((status == 0)) || { close "$1" && sleep "$2" && return 1; } # it has ended, as watches do
}

# event LINE is the work.
event() {
  local type name version annotations data sum answer
  IFS=$sep read -r type name version annotations data <<<"$1"
  # DELETED is said of an object, too, that somebody has labelled otherwise. And a label may lie.
  [[ $type != DELETED ]] && find_slot "$name" && [[ ,$own, == *",$slot,"* ]] || return
  sum=$(printf %s "${data:-null}" | sha256sum)
  sum=${sum%% *}
  [[ $annotations != *"\"$annotation\":\"$sum\""* ]] || return
  may_act
  answer=$(k patch configmap "$name" --type=merge -p '{"metadata": {"resourceVersion": "'"$version"'",
    "annotations": {"'$annotation'": "'"$sum"'"}}}' 2>&1 >/dev/null) && say "has written the checksum of $name" && return
  [[ $answer == *"(Conflict)"* || $answer == *"(NotFound)"* ]] && return # the watch will tell us what has changed
  say "could not write the checksum of $name: $answer"
  close objects # it may still be done: until it no longer can be, we do and release nothing. Then we list again
  tick
  quiet_until=$((now + request + 2))
}

#-----------------------------------------------------------------------------------------------------------------------

stopping='' quiet_until=0
trap 'stopping=yes' TERM INT
trap 'close objects; close ring' EXIT

acquire
while [[ -z $stopping ]] || ((now < quiet_until)); do
  may_act
  ((now < renew_at)) || renew "$identity"
  ((now < quiet_until)) && sleep 1 && continue
  [[ -v fd[ring] ]] || watch ring "{.type}$sep{.object.metadata.uid}$sep{.object.status.table.ring}$sep{.object.status.table.founding}$sep\
{.object.status.table}$sep{range .object.status.table.shards[?(@.lease=='$ours')]}{.name}$sep{.slots}$sep{.releasing}{end}" clusterring "$ring"
  [[ -v fd[objects] || -z $own ]] || watch objects "{.type}$sep{.object.metadata.name}$sep{.object.metadata.resourceVersion}$sep\
{.object.metadata.annotations}$sep{.object.data}" configmaps --selector="$slot_label in ($own)"
  next ring 0.05 && take_table "$line"
  next objects 1 && event "$line"
done
((deadline == 0)) || { renew '' && say "has released its Lease"; }
