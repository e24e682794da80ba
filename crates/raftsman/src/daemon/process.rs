//! What is told of every process, under Prometheus' own names: memory, CPU time, open files, and which program it is.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// Adds this process to a registry.
pub fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(Process));
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut build =
            encoder.encode_descriptor("raftsman_build", "The program; always 1.", None, MetricType::Gauge)?;
        ConstGauge::new(1_i64).encode(build.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?)?;
        // A system without /proc has no more to tell.
        let Some(usage) = Usage::read() else { return Ok(()) };
        let cpu = ConstCounter::new(usage.cpu_seconds);
        let help = "User and system CPU time.";
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?)?;
        let gauges = [
            ("process_resident_memory_bytes", "Resident memory.", usage.resident_bytes),
            ("process_virtual_memory_bytes", "Virtual memory.", usage.virtual_bytes),
            ("process_open_fds", "Open file descriptors.", usage.open_files),
            ("process_threads", "Threads.", usage.threads),
        ];
        for (name, help, value) in gauges {
            ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
struct Usage {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    open_files: i64,
    threads: i64,
}

/// Clock ticks in a second and bytes of a page, as Linux shows them to programs on every architecture of ours.
const TICKS: f64 = 100.0;

impl Usage {
    fn read() -> Option<Usage> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let open_files = std::fs::read_dir("/proc/self/fd").ok()?.count() as i64;
        Usage::parse(&stat, &status, open_files)
    }

    fn parse(stat: &str, status: &str, open_files: i64) -> Option<Usage> {
        // The second field is the program's name in brackets, which may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<i64>().ok()
        };
        Some(Usage {
            cpu_seconds: (ticks(14)? + ticks(15)?) / TICKS,
            resident_bytes: kilobytes("VmRSS:")? * 1024,
            virtual_bytes: kilobytes("VmSize:")? * 1024,
            threads: kilobytes("Threads:")?,
            open_files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_from_proc() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1000 9999 5";
        let status = "Name:\ta) b\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t4\n";
        let expected =
            Usage { cpu_seconds: 2.0, resident_bytes: 1 << 20, virtual_bytes: 2 << 20, open_files: 9, threads: 4 };
        assert_eq!(Usage::parse(stat, status, 9), Some(expected));
        assert!(Usage::read().is_some_and(|usage| usage.resident_bytes > 1 << 20 && usage.threads >= 1));
    }
}
