//! `raftsman bench store` and `bench watch`: etcd's own benchmark against etcd and against our store, in one run on
//! one machine, three members each, both with mutual TLS, both proven to sync. Only the ratios mean anything elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;

use super::growth::{self, Growth};
use super::rival::{self, Kind, Rival};
use super::sync;
use super::tool::{Figures, Tool};
use crate::command::print::Table;
use crate::failure::Failure;

/// Flags of both benchmarks.
#[derive(Debug, Args)]
pub struct RivalArgs {
    /// Folder of etcd's programs `etcd` and `benchmark`, as `make peers` builds them
    #[arg(long, value_name = "DIR", env = "RAFTSMAN_PEERS")]
    peers: PathBuf,
    /// Where both keep their data while it runs; a disk, not memory
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// How often each workload runs on each store, in turns; medians are told
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

#[derive(Debug, Args)]
pub struct StoreArgs {
    #[command(flatten)]
    rivals: RivalArgs,
    /// Requests of one client in a round
    #[arg(long, value_name = "N", default_value = "3000")]
    single: String,
    /// Requests of a thousand clients in a round
    #[arg(long, value_name = "N", default_value = "50000")]
    many: String,
    /// Fill both with so many keys afterwards, and time a restart and an empty member that catches up
    #[arg(long, value_name = "N")]
    keys: Option<u64>,
}

#[derive(Debug, Args)]
pub struct WatchArgs {
    #[command(flatten)]
    rivals: RivalArgs,
    /// Puts a second that are watched
    #[arg(long, value_name = "N", default_value = "1000")]
    rate: String,
    /// Puts in a round
    #[arg(long, value_name = "N", default_value = "10000")]
    puts: String,
}

/// What is measured: a name, the tool's arguments, and which of its summaries counts.
struct Work {
    name: &'static str,
    args: Vec<String>,
    summary: usize,
}

impl Work {
    fn new(name: &'static str, args: &str, summary: usize) -> Work {
        Work { name, args: args.split_whitespace().map(str::to_owned).collect(), summary }
    }
}

pub async fn run(args: StoreArgs) -> Result<(), Failure> {
    let (single, many) = (&args.single, &args.many);
    let value = "--key-size 8 --val-size 256";
    let keys = "--sequential-keys --key-space-size 100000";
    let thousand = "--conns 100 --clients 1000";
    let work = [
        Work::new("put, 1 client", &format!("put {value} {keys} --total {single}"), 0),
        Work::new("put, 1000 clients", &format!("{thousand} put {value} {keys} --total {many}"), 0),
        Work::new("range linearizable, 1 client", &format!("range benchmark-key --total {single}"), 0),
        Work::new("range linearizable, 1000 clients", &format!("{thousand} range benchmark-key --total {many}"), 0),
        Work::new(
            "range serializable, 1000",
            &format!("{thousand} range benchmark-key --consistency s --total {many}"),
            0,
        ),
        Work::new(
            "txn-put, 1 client",
            &format!("txn-put {value} --key-space-size 1000 --txn-ops 1 --total {single}"),
            0,
        ),
    ];
    compare(&args.rivals, &work, args.keys).await
}

pub async fn run_watch(args: WatchArgs) -> Result<(), Failure> {
    let (rate, puts) = (&args.rate, &args.puts);
    let work = [
        Work::new(
            "watch events, 100 watchers",
            &format!("watch-latency --streams 10 --watchers-per-stream 10 --put-rate {rate} --put-total {puts}"),
            1,
        ),
        Work::new(
            "watch events, 1000 watchers",
            "watch-latency --streams 100 --watchers-per-stream 10 --put-rate 100 --put-total 1000",
            1,
        ),
    ];
    compare(&args.rivals, &work, None).await
}

/// Runs every workload on both stores in turns, and prints the table.
async fn compare(args: &RivalArgs, work: &[Work], keys: Option<u64>) -> Result<(), Failure> {
    let folder = args.dir.join(format!("raftsman-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
    let outcome = compare_in(&folder, args, work, keys).await;
    std::fs::remove_dir_all(&folder).map_err(Failure::failed)?;
    outcome
}

async fn compare_in(folder: &Path, args: &RivalArgs, work: &[Work], keys: Option<u64>) -> Result<(), Failure> {
    sync::refuse_memory(folder)?;
    let pki = rival::make_pki(folder)?;
    let tool = Tool { program: args.peers.join("benchmark") };
    let own = std::env::current_exe().map_err(Failure::failed)?;
    let mut etcd = Rival::start(Kind::Etcd, &args.peers.join("etcd"), folder, &pki).await?;
    let mut ours = Rival::start(Kind::Raftsman, &own, folder, &pki).await?;
    for rival in [&mut etcd, &mut ours] {
        let calls = sync::prove(rival, &tool).await?;
        eprintln!("{:?}: {calls} sync calls of the leader in 200 puts", rival.kind);
    }
    let mut table =
        Table::new(&["WORK", "ETCD", "RAFTSMAN", "RATIO", "P50 ETCD", "P50", "P99 ETCD", "P99", "P99 RATIO"]);
    for work in work {
        let (mut theirs, mut mine) = (Vec::new(), Vec::new());
        for round in 1..=args.rounds {
            eprintln!("{}: round {round} of {}", work.name, args.rounds);
            theirs.push(measure(&etcd, &tool, work).await?);
            mine.push(measure(&ours, &tool, work).await?);
        }
        table.row(row(work.name, &theirs, &mine));
    }
    print!("{}", table.render());
    for rival in [&etcd, &ours] {
        let peaks: Vec<String> =
            rival.peak_memory().iter().map(|bytes| format!("{:.0}", *bytes as f64 / 1e6)).collect();
        println!("peak memory (VmHWM) of the members of {:?}: {} MB", rival.kind, peaks.join(", "));
    }
    if let Some(keys) = keys {
        for rival in [&mut etcd, &mut ours] {
            let Growth { restart, catch_up, put_p99 } = growth::measure(rival, &tool, keys).await?;
            println!(
                "{keys} keys, {:?}: restart {:.1} s, empty member caught up after {:.1} s (p99 of the others' puts {:.0} ms)",
                rival.kind,
                restart.as_secs_f64(),
                catch_up.as_secs_f64(),
                put_p99 * 1e3
            );
        }
    }
    Ok(())
}

async fn measure(rival: &Rival, tool: &Tool, work: &Work) -> Result<Figures, Failure> {
    let args: Vec<&str> = work.args.iter().map(String::as_str).collect();
    let figures = tool.run(rival, &args).await?;
    let told = || Failure::Failed(format!("the benchmark tool told {} summaries of {}", figures.len(), work.name));
    figures.get(work.summary).copied().ok_or_else(told)
}

/// Medians of both, and their ratios.
fn row(name: &str, theirs: &[Figures], mine: &[Figures]) -> Vec<String> {
    let pick = |all: &[Figures], of: fn(&Figures) -> f64| median(all.iter().map(of).collect());
    let rate = |all: &[Figures]| pick(all, |figures| figures.per_second);
    let p50 = |all: &[Figures]| pick(all, |figures| figures.p50);
    let p99 = |all: &[Figures]| pick(all, |figures| figures.p99);
    let ms = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
    vec![
        name.to_owned(),
        format!("{:.0}/s", rate(theirs)),
        format!("{:.0}/s", rate(mine)),
        format!("{:.2}", rate(mine) / rate(theirs)),
        ms(p50(theirs)),
        ms(p50(mine)),
        ms(p99(theirs)),
        ms(p99(mine)),
        format!("{:.2}", p99(mine) / p99(theirs)),
    ]
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_medians_and_ratios() {
        let figures = |per_second| Figures { per_second, p50: 0.001, p99: 1.0 / per_second };
        let row = row("w", &[figures(1.0), figures(100.0), figures(50.0)], &[figures(100.0)]);
        assert_eq!(row, ["w", "50/s", "100/s", "2.00", "1.00 ms", "1.00 ms", "20.00 ms", "10.00 ms", "0.50"]);
    }
}
