//! RocksDB as both databases use it.

use std::fs::File;
use std::io;
use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DB, IteratorMode, LogLevel, Options, ReadOptions};

/// Bytes of the cache for blocks, indexes and filters of one database.
const BLOCK_CACHE_BYTES: usize = 8 << 20;

/// Bytes read ahead by a scan of a whole database.
const SCAN_READAHEAD_BYTES: usize = 2 << 20;

/// Options that both databases share. `write_buffer_bytes` bounds one memtable; there are at most two.
pub fn options(write_buffer_bytes: usize) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(&Cache::new_lru_cache(BLOCK_CACHE_BYTES));
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    blocks.set_block_size(16 << 10);
    let mut options = Options::default();
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

/// Opens the database at `path`. `fresh` says that nothing was ever made durable in it: then one is made, also over
/// what an interrupted first start left. Otherwise a lost file must not look like a first start.
pub fn open(mut options: Options, path: &Path, fresh: bool) -> Result<DB, rocksdb::Error> {
    options.create_if_missing(fresh);
    DB::open(&options, path)
}

/// Reads every block of every table once, also of what is deleted, so that RocksDB compares each with its checksum:
/// damage is found at the start and not when a read or a compaction comes upon it.
pub fn scan(db: &DB) -> Result<(), rocksdb::Error> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    #[expect(deprecated, reason = "the log deletes ranges, and their blocks are to be read, too")]
    options.set_ignore_range_deletions(true);
    options.set_readahead_size(SCAN_READAHEAD_BYTES);
    db.iterator_opt(IteratorMode::Start, options).try_for_each(|item| item.map(|_| ()))
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
    let text: &str = error.as_ref();
    error.kind() == rocksdb::ErrorKind::IOError && (text.contains("While lock file") || text.contains("lock hold by"))
}

/// Whether a file that must be there is not.
pub fn is_missing(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::IOError && error.as_ref().contains("No such file")
}
