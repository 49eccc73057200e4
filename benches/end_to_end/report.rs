//! The table, the ratios and the JSON file.

use std::collections::BTreeMap;

use crate::commands::Cost;
use crate::contenders::{
    CONSUME, CONSUME_LONG, DISCARD_4, DISCARD_4_ALONE, DISCARD_LONG, FLOOR, GPFDIST, GPFDIST_JSON, GPFDIST_TUNED,
    GPKAFKA, GPKAFKA_AVRO, GPKAFKA_JSON, KCAT, KCAT_ALONE, KCAT_TUNED, PYTHON_JSON,
};
use crate::scene::Scene;

/// What of two commands is held against each other.
#[derive(Clone, Copy)]
enum Of {
    /// How many times as fast the first is.
    Speed,
    /// How many times as much of the processor it takes.
    Cpu,
}

/// Who is held against whom, and the least that the ratio of speeds may be, or the most that one of the processor's time
/// may; 0 where nothing is promised.
const PROMISES: [(&str, &str, Of, f64); 13] = [
    (GPKAFKA, GPFDIST, Of::Speed, 1.0),
    (GPKAFKA, GPFDIST_TUNED, Of::Speed, 0.0),
    (GPKAFKA, FLOOR, Of::Speed, 0.9),
    (GPKAFKA, KCAT_TUNED, Of::Speed, 1.0),
    (GPKAFKA, KCAT, Of::Speed, 2.5),
    (GPKAFKA, CONSUME, Of::Cpu, 1.5),
    (GPKAFKA_JSON, GPFDIST_JSON, Of::Speed, 4.0),
    (GPKAFKA_JSON, PYTHON_JSON, Of::Speed, 5.0),
    (GPKAFKA_AVRO, GPKAFKA, Of::Speed, 0.8),
    (DISCARD_LONG, CONSUME_LONG, Of::Speed, 0.7),
    // nine tenths of its rows from the same CPU time
    (DISCARD_LONG, CONSUME_LONG, Of::Cpu, 1.0 / 0.9),
    (DISCARD_4, KCAT_ALONE, Of::Speed, 0.0),
    (DISCARD_4_ALONE, DISCARD_4, Of::Speed, 0.8),
];

/// MiB that a load may take at its peak: its budget by default, and what the program itself takes.
const PEAK_MAX: f64 = 512.0 + 64.0;

/// Those of whom that is promised.
const LOADS: [&str; 3] = [GPKAFKA, GPKAFKA_JSON, GPKAFKA_AVRO];

/// One ratio over all rounds.
struct Ratio {
    of: &'static str,
    to: &'static str,
    what: Of,
    promised: f64,
    least: f64,
    median: f64,
    most: f64,
}

/// Whether every promise was kept, by contenders who were all there.
pub fn tell(scene: &Scene, names: &[&str], missing: &[&str], costs: &BTreeMap<&str, Vec<Cost>>) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a rate, shown rounded")]
    let (rows, bytes) = (scene.rows as f64, scene.bytes as f64);
    println!(
        "\n{:<44} {:>8} {:>6} {:>8} {:>10} {:>8}   least … most s",
        "whole command", "median s", "cpu s", "peak MiB", "rows/s", "MB/s"
    );
    let mut is_small = true;
    let mut measured = Vec::new();
    for name in names {
        let (least, median, most) = spread(costs[name].iter().map(|cost| cost.seconds).collect());
        let (_, cpu, _) = spread(costs[name].iter().map(|cost| cost.cpu_seconds).collect());
        let (_, _, peak) = spread(costs[name].iter().map(|cost| cost.peak_mib).collect());
        is_small &= peak <= PEAK_MAX || !LOADS.contains(name);
        let (rows, megabytes) = (rows / median, bytes / median / 1e6);
        println!("{name:<44} {median:8.2} {cpu:6.2} {peak:8.0} {rows:10.0} {megabytes:8.1}   {least:.2} … {most:.2}");
        measured.push(serde_json::json!({
            "name": name, "seconds": {"least": least, "median": median, "most": most}, "cpu_seconds": cpu,
            "peak_mib": peak, "rows_per_second": rows, "megabytes_per_second": megabytes,
        }));
    }
    println!("\nratios round by round: median (least … most), and what is promised");
    let ratios: Vec<Ratio> = PROMISES.iter().filter_map(|promise| ratio(promise, costs)).collect();
    for ratio in &ratios {
        let promised = match ratio.promised {
            0.0 => String::new(),
            promised => {
                let bound = if matches!(ratio.what, Of::Speed) { '≥' } else { '≤' };
                format!("{bound} {promised:.2}  {}", if ratio.is_kept() { "kept" } else { "MISSED" })
            }
        };
        let (of, to, median) = (ratio.of, ratio.to, ratio.median);
        let what = ratio.what.name();
        println!("{what:<5} of {of:<36} to {to:<44} {median:5.2} ({:.2} … {:.2})  {promised}", ratio.least, ratio.most);
    }
    let json = serde_json::json!({
        "rows": scene.rows, "bytes": scene.bytes, "segments": scene.db.segments(),
        "contenders": measured, "not_installed": missing,
        "ratios": ratios.iter().map(|ratio| serde_json::json!({
            "what": ratio.what.name(), "of": ratio.of, "to": ratio.to, "promised": ratio.promised,
            "least": ratio.least, "median": ratio.median, "most": ratio.most,
        })).collect::<Vec<_>>(),
    });
    let path = "target/end_to_end.json";
    std::fs::write(path, format!("{json:#}\n")).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    println!("peak memory of our loads ≤ {PEAK_MAX} MiB  {}", if is_small { "kept" } else { "MISSED" });
    println!("\nwritten to {path}");
    let kept = ratios.iter().filter(|ratio| ratio.promised > 0.0 && ratio.is_kept()).count();
    is_small && kept == PROMISES.iter().filter(|(.., promised)| *promised > 0.0).count()
}

impl Of {
    fn name(self) -> &'static str {
        match self {
            Self::Speed => "speed",
            Self::Cpu => "cpu",
        }
    }

    fn ratio(self, ours: &Cost, theirs: &Cost) -> f64 {
        match self {
            Self::Speed => theirs.seconds / ours.seconds,
            Self::Cpu => ours.cpu_seconds / theirs.cpu_seconds,
        }
    }
}

impl Ratio {
    fn is_kept(&self) -> bool {
        match self.what {
            Of::Speed => self.median >= self.promised,
            Of::Cpu => self.median <= self.promised,
        }
    }
}

fn ratio(promise: &(&'static str, &'static str, Of, f64), costs: &BTreeMap<&str, Vec<Cost>>) -> Option<Ratio> {
    let &(of, to, what, promised) = promise;
    let (ours, theirs) = (costs.get(of)?, costs.get(to)?);
    let ratios = ours.iter().zip(theirs).map(|(ours, theirs)| what.ratio(ours, theirs));
    let (least, median, most) = spread(ratios.collect());
    Some(Ratio { of, to, what, promised, least, median, most })
}

/// Least, median and most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
    (values[0], median, values[values.len() - 1])
}
