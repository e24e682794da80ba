# make demo    the first Job, end to end            make verify  format, lints, tidy; writes nothing
# make build   the release binaries                 make fix     what verify would complain of, where a machine can
# make test    everything                           make peers   the real clients that tests use
# make bench   Jobs and the store, against etcd in the same run
# make images  the image of deploy/docker-compose.yml

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export RAFTSMAN_CACHE  ?= $(HOME)/.cache/raftsman
export ROCKSDB_LIB_DIR ?= $(RAFTSMAN_CACHE)/rocksdb
export ROCKSDB_STATIC  ?= 1
export RAFTSMAN_PEERS  ?= $(RAFTSMAN_CACHE)/peers
export CARGO_TARGET_DIR ?= $(RAFTSMAN_CACHE)/target
TARGET := $(CARGO_TARGET_DIR)

.PHONY: help demo build test verify fix bench peers images rocksdb

help:
	@grep '^# make' Makefile | cut -c3-

rocksdb:
	@scripts/needs.sh build
	@scripts/rocksdb.sh

build: rocksdb
	cargo build --release --locked --package raftsman --package shim
	@echo "built $(TARGET)/release/raftsman and $(TARGET)/release/raftsman-shim"

demo: rocksdb
	@scripts/needs.sh demo
	cargo build --locked --package raftsman --package shim
	@scripts/demo.sh "$(TARGET)/debug/raftsman"

# The black-box suites start the binaries, so these are built first; they mostly wait, hence the threads. The closing
# lines are cargo's.
test: rocksdb peers
	@scripts/needs.sh test
	@scripts/python.sh
	cargo build --locked --package raftsman --package shim
	RUST_TEST_THREADS=4 cargo test --locked --workspace

verify: rocksdb
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo test --locked --package tests --test tidy

fix:
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

bench: build peers
	scripts/bench.sh "$(TARGET)/release/raftsman"

peers:
	@scripts/peers.sh

images: build
	@scripts/needs.sh images
	scripts/images.sh "$(TARGET)/release/raftsman"
