#!/usr/bin/env bash
# A shard of the ring "checksums" in bash and kubectl, to show the contract of docs/implement-sharding.md, not to be used in
# earnest. It does what examples/library does, and can be in one ring with it: it writes the checksum of every ConfigMap
# that is its own into an annotation.
#
# Everything happens in one loop, one thing at a time. So nothing else is ever busy with an object that is let go of, and all
# work has ended when the loop has. Linux, bash 5, kubectl; $KUBECONFIG says which cluster, $LEASE_SECONDS how long
# the Lease is valid.
set -o nounset -o pipefail # not errexit: here, requests fail as a matter of course

readonly shard=${1:?usage: shard.sh NAME-OF-THE-SHARD}
readonly ring=checksums namespace=checksums
readonly annotation=example.clusterring.dev/checksum

# The words of the contract.
readonly ring_label=sharding.clusterring.dev/ring
readonly shard_label=shard.sharding.clusterring.dev/$ring
readonly drain_label=drain.sharding.clusterring.dev/$ring
readonly sharder=clusterring:sharder

# Seconds. A request that begins just before the last moment to act has ended before others may take the Lease.
readonly duration=${LEASE_SECONDS:-15} # how long others wait after a renewal
readonly act_for=$((duration * 2 / 3)) # how long we act after we have sent one
readonly renew_every=$((duration / 5))
readonly request=$((duration / 5)) # how long a request may take

read -r random </proc/sys/kernel/random/uuid
readonly identity=${shard}_$random

readonly sep=$'\x1f' # in no name, and in JSON only as \u001f

say() { printf '%(%T)T %s: %s\n' -1 "$shard" "$*" >&2; }
k() { timeout "$request" kubectl --namespace="$namespace" "$@"; }

# tick sets $now, by a clock that nobody can set: seconds since this machine was started, times asleep included.
tick() {
  read -r now _ </proc/uptime
  now=${now%.*}
}

#--- 1. Hold a Lease ---------------------------------------------------------------------------------------------------

# $lease is the Lease as last read or written, as JSON, "" if there is none; the others are what is in it.
lease='' holder='' seconds='' transitions='' spec=''

read_lease() {
  local seen
  seen=$(k get lease "$shard" --ignore-not-found -o jsonpath="{.spec.holderIdentity}$sep{.spec.leaseDurationSeconds}$sep\
{.spec.leaseTransitions}$sep{.spec}$sep{@}") || return 1
  IFS=$sep read -r holder seconds transitions spec lease <<<"$seen"
}

# write_lease VERB CHANGE creates or replaces the Lease: what was seen of it, with the change. That has the resourceVersion
# in it, so it fails if somebody else has written the Lease meanwhile.
write_lease() {
  local written
  written=$(k patch --local -f - --type=merge -p "$2" -o json <<<"$lease" | k "$1" -f - -o jsonpath='{@}') || return 1
  lease=$written
}

timestamp() { date -u +%Y-%m-%dT%H:%M:%S.%6NZ; }

# renewed SENT notes that a renewal that was sent then has succeeded.
renewed() { deadline=$(($1 + act_for)) renew_at=$(($1 + renew_every)); }

# take VERB makes the Lease ours.
take() {
  local sent time
  tick
  sent=$now time=$(timestamp)
  write_lease "$1" '{"metadata": {"labels": {"'$ring_label'": "'$ring'"}}, "spec": {
    "holderIdentity": "'"$identity"'", "leaseDurationSeconds": '$duration',
    "acquireTime": "'"$time"'", "renewTime": "'"$time"'", "leaseTransitions": '$((transitions + 1))'}}' || return 1
  renewed "$sent"
  say "holds its Lease, as $identity"
}

acquire() {
  local watched='' since=0 waiting=''
  while [[ -z $stopping ]]; do
    if read_lease; then
      tick
      [[ $spec == "$watched" ]] || watched=$spec since=$now
      if [[ -z $lease ]]; then
        transitions=-1 # this is the first time
        lease='{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "'$shard'"}, "spec": {}}'
        take create && return
      elif [[ -z $holder || $holder == "$identity" ]]; then # ours: the answer to an attempt may have got lost
        take replace && return
      elif [[ $holder != "$sharder" ]] && ((now - since > ${seconds:-15})); then
        take replace && return
      elif [[ $holder != "$waiting" ]]; then
        waiting=$holder
        say "waits for its Lease: $holder has it"
      fi
    fi
    sleep 1
  done
}

# renew tries again at once after a conflict: the sharder writes a label, which is fine. It leaves it at that for now when
# the Lease cannot even be read.
renew() {
  local sent
  while may_act; do
    sent=$now
    write_lease replace '{"spec": {"renewTime": "'"$(timestamp)"'"}}' && renewed "$sent" && return
    read_lease || return
    [[ $holder == "$identity" ]] || lose "the Lease is held by '$holder'"
  done
}

# may_act ends the process when it is too late to do anything. Whatever it had in mind is lost with it.
may_act() {
  tick
  ((now < deadline)) || lose "the Lease was not renewed for $act_for seconds"
}

lose() {
  close_watch
  say "has lost its Lease: $1"
  exit 1
}

release() {
  local attempt
  for attempt in 1 2 3; do
    write_lease replace '{"spec": {"holderIdentity": ""}}' && say "has released its Lease" && return
    read_lease && [[ $holder != "$identity" ]] && return
  done
  say "could not release its Lease: others take it when it has run out"
}

#--- 2. Look at your own objects only ----------------------------------------------------------------------------------

watch='' watcher='' line=''

# open_watch begins a list that goes on as a watch. It is one line for each object and for each change, on the descriptor
# $watch. Text that others have written is JSON, so that there is no doubt about where a line ends.
open_watch() {
  exec {watch}< <(exec kubectl --namespace="$namespace" get configmaps --selector="$shard_label=$shard" \
    --watch --output-watch-events -o jsonpath="{.type}$sep{.object.metadata.name}$sep{.object.metadata.resourceVersion}$sep\
{.object.metadata.labels}$sep{.object.metadata.annotations}$sep{.object.data}"$'\n')
  watcher=$! line=''
}

close_watch() {
  [[ -n $watch ]] || return 0
  kill "$watcher" 2>/dev/null
  exec {watch}<&-
  wait "$watcher" 2>/dev/null
  watch=''
}

#--- 3. Let go when asked ----------------------------------------------------------------------------------------------

# change NAME VERSION METADATA changes a ConfigMap if it still is in that version.
change() {
  may_act
  k patch configmap "$1" --type=merge -p '{"metadata": {"resourceVersion": "'"$2"'", '"$3"'}}' >/dev/null
}

# event LINE is the work. It fails if something could not be written.
event() {
  local type name version labels annotations data sum
  IFS=$sep read -r type name version labels annotations data <<<"$1"
  # DELETED shows the object as it was, in the version that it has now, at another shard perhaps: hands off.
  [[ $type == ADDED || $type == MODIFIED ]] || return 0

  if [[ $labels == *"\"$drain_label\":"* ]]; then
    change "$name" "$version" '"labels": {"'$shard_label'": null, "'$drain_label'": null}' || return 1
    say "has let go of $name"
    return
  fi

  sum=$(printf %s "${data:-null}" | sha256sum)
  sum=${sum%% *}
  [[ $annotations != *"\"$annotation\":\"$sum\""* ]] || return 0
  change "$name" "$version" '"annotations": {"'$annotation'": "'"$sum"'"}' || return 1
  say "has written the checksum of $name"
}

#-----------------------------------------------------------------------------------------------------------------------

stopping='' deadline=0
trap 'stopping=yes' TERM INT

acquire
while [[ -z $stopping ]]; do
  may_act
  ((now < renew_at)) || renew
  [[ -n $watch ]] || open_watch
  part=''
  if IFS= read -r -t 1 -u "$watch" part; then
    # After a conflict the watch would tell us what has changed. After other failures it would not, so begin anew.
    event "$line$part" || close_watch
    line=''
  elif (($? > 128)); then
    line+=$part # a second has passed, perhaps in the middle of a line
  else
    close_watch # it has ended, as watches do
    sleep 1
  fi
done
close_watch
((deadline == 0)) || release
