# Source this before using cargo by hand: `. scripts/env.sh`. make does it by itself.
#
# RocksDB is compiled once by scripts/rocksdb.sh and linked from there into every profile.
export RAFTSMAN_CACHE="${RAFTSMAN_CACHE:-$HOME/.cache/raftsman}"
export ROCKSDB_LIB_DIR="${ROCKSDB_LIB_DIR:-$RAFTSMAN_CACHE/rocksdb}"
export ROCKSDB_STATIC=1
export RAFTSMAN_PEERS="${RAFTSMAN_PEERS:-$RAFTSMAN_CACHE/peers}"
