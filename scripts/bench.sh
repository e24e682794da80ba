#!/usr/bin/env bash
# Measures: Jobs of many Pods on simulated nodes, then etcd's own benchmark against etcd and against our store, in one
# run on one machine, so that the ratio means something.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
raftsman="${1:?the raftsman binary}"
pods="${PODS:-10000}" parallelism="${PARALLELISM:-2000}" puts="${PUTS:-20000}"

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

"$raftsman" dev --data-dir "$work/data" --listen-api 127.0.0.1:0 --listen-client 127.0.0.1:0 \
  --runtime simulated --nodes 20 --max-pods 1000 >"$work/ready" 2>"$work/log" &
pids+=($!)
until grep -q '^ready ' "$work/ready"; do
  kill -0 "${pids[0]}" 2>/dev/null || { tail -n 5 "$work/log" >&2; exit 1; }
  sleep 0.2
done
export RAFTSMAN_KUBECONFIG="$work/data/admin.kubeconfig"
"$raftsman" bench jobs --pods "$pods" --parallelism "$parallelism"

store=$(sed -n 's/.* client=\([^ ]*\).*/\1/p' "$work/ready")
put() { # label endpoint [tls flags]
  local label=$1 endpoint=$2
  shift 2
  printf '%s: ' "$label"
  "$RAFTSMAN_PEERS/benchmark" --endpoints "$endpoint" "$@" --conns 100 --clients 1000 \
    put --key-size 8 --val-size 256 --total "$puts" 2>/dev/null | awk '/Requests\/sec/ { print $2, "puts/s" }'
}
mkdir "$work/etcd"
"$RAFTSMAN_PEERS/etcd" --data-dir "$work/etcd" --log-level error --listen-client-urls http://127.0.0.1:23790 \
  --advertise-client-urls http://127.0.0.1:23790 --listen-peer-urls http://127.0.0.1:23800 \
  --initial-advertise-peer-urls http://127.0.0.1:23800 --initial-cluster default=http://127.0.0.1:23800 &
pids+=($!)
sleep 3
pki="$work/data/pki"
put "etcd, one member, plaintext" http://127.0.0.1:23790
put "raftsman store, one member, TLS" "$store" --cacert "$pki/store-ca.crt" --cert "$pki/store-client.crt" --key "$pki/store-client.key"
