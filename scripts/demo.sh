#!/usr/bin/env bash
# The first Job, end to end: starts `raftsman dev`, runs deploy/examples/pi.yaml and shows what came of it.
set -euo pipefail
cd "$(dirname "$0")/.."
raftsman="${1:?the raftsman binary}"

data=$(mktemp -d)
"$raftsman" dev --data-dir "$data" --listen-api 127.0.0.1:0 --listen-client 127.0.0.1:0 \
  >"$data/ready" 2>"$data/log" &
dev=$!
finish() {
  kill -TERM "$dev" 2>/dev/null || true
  wait "$dev" 2>/dev/null || true
  rm -rf "$data"
}
trap finish EXIT

echo "starting raftsman dev (data in $data)"
for _ in $(seq 300); do
  grep -q '^ready ' "$data/ready" && break
  kill -0 "$dev" 2>/dev/null || { cat "$data/log" >&2; exit 1; }
  sleep 0.1
done
grep '^ready ' "$data/ready" || { tail -n 20 "$data/log" >&2; exit 1; }
export RAFTSMAN_KUBECONFIG="$data/admin.kubeconfig"

step() { printf '\n$ raftsman %s\n' "$*"; "$raftsman" "$@"; }
step job submit deploy/examples/pi.yaml
step job watch pi
printf '\n$ raftsman job logs pi\n'
"$raftsman" job logs pi | cut -c1-76
step job list

cat <<EOF

That was one Job on a real control plane: raft store, API server, controllers, scheduler and an agent.
To go on, start one that stays, in a terminal of its own:

  $raftsman dev

and talk to it with kubectl (1.30 or newer), which needs no changes:

  export KUBECONFIG=\${XDG_STATE_HOME:-\$HOME/.local/state}/raftsman/admin.kubeconfig
  kubectl create -f deploy/examples/paral.yaml -f deploy/examples/hello.yaml
  kubectl get jobs,cronjobs,pods --watch
EOF
