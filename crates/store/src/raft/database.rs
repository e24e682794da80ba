//! RocksDB as both databases use it.

use std::fs::File;
use std::io;
use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, LogLevel, Options};

/// Bytes of the cache for blocks, indexes and filters of one database.
const BLOCK_CACHE_BYTES: usize = 8 << 20;

/// Options that both databases share. `write_buffer_bytes` bounds one memtable; there are at most two.
pub fn options(write_buffer_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_block_size(16 << 10);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&blocks);
    options.set_write_buffer_size(write_buffer_bytes);
    options.set_max_write_buffer_number(2);
    options.set_max_background_jobs(2);
    options.set_max_open_files(128);
    options.set_compression_type(rocksdb::DBCompressionType::Lz4);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Warn);
    options.set_stats_dump_period_sec(0);
    options.set_paranoid_checks(true);
    options
}

/// Makes a directory's entries durable: what was created, renamed or deleted in it.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// RocksDB's error as an `io::Error`, its text kept.
pub fn io_error(error: rocksdb::Error) -> io::Error {
    let kind = match error.kind() {
        rocksdb::ErrorKind::Corruption => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.into_string())
}

/// Whether opening failed because another process has the database open.
pub fn is_locked(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::IOError && error.as_ref().contains("lock")
}
