#!/usr/bin/env bash
# Compiles RocksDB once (about 12 minutes on two cores) into $RAFTSMAN_CACHE/rocksdb, from the sources that the
# librocksdb-sys crate of Cargo.lock brings, with the same features. Does nothing where that is done already.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/env.sh

locked() { awk -v crate="$1" '$0 == "name = \"" crate "\"" { getline; gsub(/version = |"/, ""); print }' Cargo.lock; }
version=$(locked librocksdb-sys)
[ -n "$version" ] || { echo "rocksdb.sh: Cargo.lock names no librocksdb-sys" >&2; exit 1; }

mkdir -p "$ROCKSDB_LIB_DIR"
exec 9>"$ROCKSDB_LIB_DIR/lock"
flock 9   # two checkouts on one machine build it once

stamp="$ROCKSDB_LIB_DIR/version"
if [ -f "$ROCKSDB_LIB_DIR/librocksdb.a" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$version" ]; then
  exit 0
fi

scratch="$RAFTSMAN_CACHE/rocksdb-build"
mkdir -p "$scratch/src"
cat >"$scratch/Cargo.toml" <<EOF
[package]
name = "rocksdb-build"
version = "0.0.0"
edition = "2024"

[dependencies]
rocksdb = { version = "=$(locked rocksdb)", default-features = false, features = ["bindgen-runtime", "lz4"] }
librocksdb-sys = { version = "=$version", default-features = false }

[workspace]
EOF
echo 'fn main() {}' >"$scratch/src/main.rs"

flags="-O2"
# RocksDB's checksums use these where the machine has them.
for flag in sse4_2:-msse4.2 pclmulqdq:-mpclmul; do
  if grep -qw "${flag%%:*}" /proc/cpuinfo; then flags="$flags ${flag##*:}"; fi
done

echo "compiling RocksDB (librocksdb-sys $version) once into $ROCKSDB_LIB_DIR; this takes about 12 minutes on two cores" >&2
target="$scratch/target"
(cd "$scratch" && env -u ROCKSDB_LIB_DIR -u ROCKSDB_STATIC CXXFLAGS="$flags" CARGO_TARGET_DIR="$target" cargo build --quiet --release)
built=$(ls -t "$target"/release/build/librocksdb-sys-*/out/librocksdb.a | head -n 1)
cp "$built" "$ROCKSDB_LIB_DIR/librocksdb.a.new"
mv "$ROCKSDB_LIB_DIR/librocksdb.a.new" "$ROCKSDB_LIB_DIR/librocksdb.a"
echo "$version" >"$stamp"
rm -rf "$scratch"
