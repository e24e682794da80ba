#!/usr/bin/env bash
# Builds the real clients and servers that tests use, at the versions that tests/peers/go.mod pins, into
# $RAFTSMAN_PEERS. Without names, all of them. Does nothing for one that is there at that version.
# `porcupine` is ours, the checker of tests/porcupine.
#   peers.sh [kubectl] [grpcurl] [etcd] [etcdctl] [benchmark] [porcupine]
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

command -v go >/dev/null || { echo "peers.sh: the peers are built with Go (1.26 or newer); install it first" >&2; exit 1; }
mkdir -p "$RAFTSMAN_PEERS"
exec 9>"$RAFTSMAN_PEERS/.lock"
flock 9   # who comes second finds everything built
peers="$(cd tests/peers && pwd)"
pins=$(sha256sum "$peers/go.mod" | cut -c1-16)
cd "$peers"

kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=$(echo "$kubernetes" | cut -d. -f2)
ldflags="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ldflags="$ldflags -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=$minor"
done

build() { # name package
  local stamp="$RAFTSMAN_PEERS/.$1.pins"
  [ -x "$RAFTSMAN_PEERS/$1" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$pins" ] && return 0
  echo "building $1 ($2)" >&2
  CGO_ENABLED=0 go build -trimpath -ldflags "$ldflags" -o "$RAFTSMAN_PEERS/$1.new" "$2"
  mv "$RAFTSMAN_PEERS/$1.new" "$RAFTSMAN_PEERS/$1"
  echo "$pins" >"$stamp"
}

for name in "${@:-kubectl grpcurl etcd etcdctl benchmark porcupine}"; do
  for peer in $name; do
    case "$peer" in
      kubectl) build kubectl k8s.io/kubernetes/cmd/kubectl ;;
      grpcurl) build grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl ;;
      etcd) build etcd go.etcd.io/etcd/server/v3 ;;
      etcdctl) build etcdctl go.etcd.io/etcd/etcdctl/v3 ;;
      benchmark) build benchmark go.etcd.io/etcd/v3/tools/benchmark ;;
      porcupine) (cd ../porcupine; pins=$(cat go.mod ./*.go | sha256sum | cut -c1-16); build porcupine .) ;;
      *) echo "peers.sh: no peer is named $peer" >&2; exit 2 ;;
    esac
  done
done
