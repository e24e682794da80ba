#!/usr/bin/env bash
# Packs built programs into the image that deploy/docker-compose.yml runs.
#   images.sh [--no-pull] RAFTSMAN [TAG]     RAFTSMAN with raftsman-shim beside it; TAG is `raftsman` by default
# The base image debian:bookworm-slim is taken where it is there or can be pulled; otherwise debootstrap makes it, once,
# and keeps it in $RAFTSMAN_CACHE/docker.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh
pull=true
if [ "${1:-}" = --no-pull ]; then pull=false; shift; fi
raftsman="${1:?the raftsman binary}" tag="${2:-raftsman}"
base=debian:bookworm-slim
# Debian's docker has no other builder.
export DOCKER_BUILDKIT=0

bootstrap() { # FILE
  [ "$(id -u)" = 0 ] || { echo "images.sh: making $base needs root (debootstrap); or let docker pull it" >&2; return 1; }
  command -v debootstrap >/dev/null || { echo "images.sh: needed: debootstrap; install with: sudo apt-get install debootstrap" >&2; return 1; }
  local root
  root=$(mktemp -d)
  echo "making $base by debootstrap, once, into $1" >&2
  if ! debootstrap --variant=minbase --include=perl,libmath-bigint-gmp-perl bookworm "$root" >"$root.log" 2>&1; then
    tail -n 5 "$root.log" >&2
    rm -rf "$root" "$root.log"
    return 1
  fi
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . >"$1.new"
  mv "$1.new" "$1"
  rm -rf "$root" "$root.log"
}

if ! docker image inspect "$base" >/dev/null 2>&1; then
  if ! { $pull && timeout 120 docker pull --quiet "$base"; }; then
    file="$RAFTSMAN_CACHE/docker/bookworm.tar"
    mkdir -p "$(dirname "$file")"
    exec 9>"$file.lock"
    flock 9   # two at once make it once
    [ -f "$file" ] || bootstrap "$file"
    docker import "$file" "$base" >/dev/null
    exec 9>&-
  fi
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
# Without what only a debugger reads: the image is a tenth of the size.
for program in raftsman raftsman-shim; do
  strip --strip-debug -o "$context/$program" "$(dirname "$raftsman")/$program" 2>/dev/null ||
    cp "$(dirname "$raftsman")/$program" "$context/$program"
done
docker build --quiet --tag "$tag" --file deploy/Dockerfile --target packed "$context" >/dev/null
# A program that was compiled on a newer Debian does not run on this one.
docker run --rm --network none "$tag" --version || {
  echo "images.sh: the programs do not run on $base; compile inside instead: docker build -t $tag -f deploy/Dockerfile ." >&2
  exit 1
}
echo "made the image $tag" >&2
