#!/usr/bin/env bash
# What building and the examples need beside Rust: installed where we may (Debian, root), told exactly otherwise.
#   needs.sh build   a C++ compiler and libclang, for RocksDB
#   needs.sh demo    perl with a big-number library that computes pi(2000), for deploy/examples/pi.yaml
#   needs.sh test    python with venv, for the suite of the Python client; docker, for that of the containers; ip, to cut
#                    networks; and what demo needs
#   needs.sh images  what `make images` needs where no docker registry is reached
set -euo pipefail

packages=()
want() { packages+=("$1"); }

build() {
  command -v clang++ >/dev/null || want clang
  ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so* >/dev/null 2>&1 || want libclang-dev
}

demo() {
  # The Math::BigInt that comes with perl 5.36 dies in bpi(2000); the GMP library brings a newer one, and is fast.
  command -v perl >/dev/null || want perl
  perl -MMath::BigInt::GMP -Mbignum=bpi -e 1 2>/dev/null || want libmath-bigint-gmp-perl
}

containers() {
  { command -v dockerd || docker info; } >/dev/null 2>&1 || want docker.io
  command -v docker-compose >/dev/null || want docker-compose
  command -v debootstrap >/dev/null || want debootstrap
}

case "${1:-}" in
  build) build ;;
  demo) build; demo ;;
  test) build; demo; containers; command -v ip >/dev/null || want iproute2; python3 -c 'import venv, ensurepip' 2>/dev/null || want python3-venv ;;
  images) build; containers ;;
  *) echo "usage: needs.sh build|demo|test|images" >&2; exit 2 ;;
esac

[ ${#packages[@]} -gt 0 ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing ${packages[*]}" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${packages[@]}"; } >&2
else
  echo "needed: ${packages[*]}; install with: sudo apt-get install ${packages[*]}" >&2
  exit 1
fi
