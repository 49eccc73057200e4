//! What was seen of processes and servers while it ran: written down, drawn, and judged.

#![expect(clippy::print_stdout, reason = "who runs it looks on")]

use std::fmt::Write as _;
use std::time::Duration;

use gpkafka::cli::plot::{Line, plot};

use super::faults::Fault;
use super::{Load, Soak};
use crate::harness::rows;

/// One look.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    seconds: f64,
    steady: Process,
    struck: Process,
    /// Where the server answers.
    database: Option<InDatabase>,
}

/// Of a loader.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Process {
    mib: f64,
    files: f64,
    threads: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct InDatabase {
    /// Of all loaders.
    sessions: f64,
    /// Rows of the largest catalogs.
    catalog: f64,
    /// Rows of the steady load's ledger: batches by partitions.
    commits: f64,
    /// Records that were written and that the steady load has not committed yet.
    lag: f64,
}

/// A number of a sample.
type Of = fn(&Sample) -> Option<f64>;

/// See the module.
#[derive(Debug, Default)]
pub struct Samples {
    all: Vec<Sample>,
    faults: Vec<Fault>,
}

impl Samples {
    pub fn look(&mut self, at: Duration, soak: &Soak<'_>) {
        let (steady, struck) = (process(&soak.steady), process(&soak.struck));
        let written: i64 = soak.stream.written().iter().sum();
        let database = in_database(soak, written);
        self.all.push(Sample { seconds: at.as_secs_f64(), steady, struck, database });
    }

    pub fn struck(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// What is to stay flat does: the worst of the second half against the worst of the quarter before it.
    pub fn expect_flat(&self) {
        let flat: [(&str, Of, f64); 5] = [
            ("memory of the steady load, MiB", |sample| Some(sample.steady.mib), 24.0),
            ("open files of the steady load", |sample| Some(sample.steady.files), 12.0),
            ("threads of the steady load", |sample| Some(sample.steady.threads), 4.0),
            ("sessions of loaders", |sample| Some(sample.database?.sessions), 4.0),
            ("rows of catalogs", |sample| Some(sample.database?.catalog), 100.0),
        ];
        let count = self.all.len();
        for (what, of, room) in flat {
            let most = |samples: &[Sample]| samples.iter().filter_map(of).fold(0.0, f64::max);
            let (early, late) = (most(&self.all[count / 4..count / 2]), most(&self.all[count / 2..]));
            assert!(late <= early * 1.1 + room, "{what}: {early} in the second quarter, {late} after it");
        }
    }

    /// Two lines for people.
    pub fn summary(&self) -> String {
        let span = |of: Of| {
            let values = || self.all.iter().filter_map(of);
            format!("{:.0}–{:.0}", values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max))
        };
        let last =
            |of: fn(&InDatabase) -> f64| self.all.iter().rev().find_map(|sample| sample.database.as_ref().map(of));
        format!(
            "{} faults; {:.0} rows of the steady load's ledger; lag {} records\nthe steady load: {} MiB, {} files, {} \
             threads; sessions of loaders {}; rows of catalogs {}",
            self.faults.len(),
            last(|database| database.commits).unwrap_or(0.0),
            span(|sample| Some(sample.database?.lag)),
            span(|sample| Some(sample.steady.mib)),
            span(|sample| Some(sample.steady.files)),
            span(|sample| Some(sample.steady.threads)),
            span(|sample| Some(sample.database?.sessions)),
            span(|sample| Some(sample.database?.catalog)),
        )
    }

    /// Into `PATH.tsv` and `PATH.svg`.
    pub fn write(&self, path: &str) {
        let write = |end: &str, text: &str| {
            let path = format!("{path}.{end}");
            std::fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
            println!("wrote {path}");
        };
        write("tsv", &self.table());
        write("svg", &self.drawing());
    }

    fn table(&self) -> String {
        let mut text = "seconds\tMiB\tfiles\tthreads\tMiB struck\tsessions\tcatalog\tcommits\tlag\n".to_owned();
        for Sample { seconds, steady, struck, database } in &self.all {
            let Process { mib, files, threads } = steady;
            write!(text, "{seconds:.0}\t{mib:.1}\t{files}\t{threads}\t{:.1}", struck.mib).unwrap();
            match database {
                Some(InDatabase { sessions, catalog, commits, lag }) => {
                    writeln!(text, "\t{sessions}\t{catalog}\t{commits}\t{lag}").unwrap();
                }
                None => text.push_str("\t\t\t\t\n"),
            }
        }
        text
    }

    /// Memory, lag and batches, each over the minutes.
    fn drawing(&self) -> String {
        let line = |label: &str, of: Of| {
            let points = self.all.iter().filter_map(|sample| Some((sample.seconds / 60.0, of(sample)?)));
            Line { label: label.to_owned(), points: points.collect() }
        };
        let memory = [
            line("steady load", |sample| Some(sample.steady.mib)),
            line("struck load", |sample| Some(sample.struck.mib)),
        ];
        let lag = [line("steady load", |sample| Some(sample.database?.lag))];
        let commits = [line("steady load", |sample| Some(sample.database?.commits))];
        let plots = [
            plot("memory", ("minutes", "MiB"), &memory),
            plot("lag", ("minutes", "records"), &lag),
            plot("rows of the ledger: a batch by partitions", ("minutes", "rows"), &commits),
        ];
        let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 1320\">\n".to_owned();
        for (at, plot) in plots.iter().enumerate() {
            svg += &plot.replacen("<svg ", &format!("<svg y=\"{}\" width=\"720\" height=\"440\" ", at * 440), 1);
        }
        svg + "</svg>\n"
    }
}

fn process(load: &Load) -> Process {
    let folder = format!("/proc/{}", load.running.pid());
    let status = std::fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let files = std::fs::read_dir(format!("{folder}/fd")).map_or(0, Iterator::count);
    #[expect(clippy::cast_precision_loss, reason = "files are few")]
    Process { mib: number("VmRSS:") / 1024.0, files: files as f64, threads: number("Threads:") }
}

fn in_database(soak: &Soak<'_>, written: i64) -> Option<InDatabase> {
    let mut client = soak.db.try_connect().ok()?;
    let ledger = format!("{}.gpkafka_ledger", soak.steady.schema);
    let sql = format!(
        "SELECT (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gpkafka:%'),
                (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_attribute)
                    + (SELECT count(*) FROM pg_depend),
                (SELECT count(*) FROM {ledger}),
                {written} - (SELECT coalesce(sum(inserted), 0) FROM {ledger})"
    );
    // no ledger yet, or a server that recovers
    client.batch_execute(&format!("SELECT 1 FROM {ledger} LIMIT 0")).ok()?;
    let row = rows(&mut client, &sql).pop()?;
    let numbers: Vec<f64> = row.split('|').filter_map(|number| number.parse().ok()).collect();
    let [sessions, catalog, commits, lag] = numbers[..] else { return None };
    Some(InDatabase { sessions, catalog, commits, lag: lag.max(0.0) })
}
