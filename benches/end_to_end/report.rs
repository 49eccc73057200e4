//! The table, the ratios and the JSON file.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::contenders::{CONSUME, DISCARD, GPFDIST, GPFDIST_TUNED, GPKAFKA, KCAT, KCAT_ALONE, KCAT_TUNED};
use crate::scene::Scene;

/// Who is held against whom, and the least that the ratio of their speeds may be; 0 where nothing is promised.
const PROMISES: [(&str, &str, f64); 6] = [
    (GPKAFKA, GPFDIST, 0.8),
    (GPKAFKA, GPFDIST_TUNED, 0.0),
    (GPKAFKA, KCAT_TUNED, 0.8),
    (GPKAFKA, KCAT, 2.0),
    (DISCARD, CONSUME, 0.5),
    (DISCARD, KCAT_ALONE, 0.5),
];

/// One ratio of two speeds over all rounds.
struct Ratio {
    of: &'static str,
    to: &'static str,
    promised: f64,
    least: f64,
    median: f64,
    most: f64,
}

/// Whether every promise was kept, by contenders who were all there.
pub fn tell(scene: &Scene, names: &[&str], missing: &[&str], times: &BTreeMap<&str, Vec<Duration>>) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "a rate, shown rounded")]
    let (rows, bytes) = (scene.rows as f64, scene.bytes as f64);
    println!("\n{:<44} {:>8} {:>10} {:>8}   least … most s", "whole command", "median s", "rows/s", "MB/s");
    let mut measured = Vec::new();
    for name in names {
        let (least, median, most) = spread(times[name].iter().map(Duration::as_secs_f64).collect());
        let (rows, megabytes) = (rows / median, bytes / median / 1e6);
        println!("{name:<44} {median:8.2} {rows:10.0} {megabytes:8.1}   {least:.2} … {most:.2}");
        measured.push(serde_json::json!({
            "name": name, "seconds": {"least": least, "median": median, "most": most},
            "rows_per_second": rows, "megabytes_per_second": megabytes,
        }));
    }
    println!("\nspeed as a ratio, round by round: median (least … most), and what is promised");
    let ratios: Vec<Ratio> = PROMISES.iter().filter_map(|promise| ratio(promise, times)).collect();
    for ratio in &ratios {
        let promised = match ratio.promised {
            0.0 => String::new(),
            promised if ratio.median >= promised => format!("≥ {promised}  kept"),
            promised => format!("≥ {promised}  MISSED"),
        };
        let (of, to, median) = (ratio.of, ratio.to, ratio.median);
        println!("{of:<30} to {to:<44} {median:5.2} ({:.2} … {:.2})  {promised}", ratio.least, ratio.most);
    }
    let json = serde_json::json!({
        "rows": scene.rows, "bytes": scene.bytes, "segments": scene.db.segments(),
        "contenders": measured, "not_installed": missing,
        "ratios": ratios.iter().map(|ratio| serde_json::json!({
            "of": ratio.of, "to": ratio.to, "promised": ratio.promised,
            "least": ratio.least, "median": ratio.median, "most": ratio.most,
        })).collect::<Vec<_>>(),
    });
    let path = "target/end_to_end.json";
    std::fs::write(path, format!("{json:#}\n")).unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    println!("\nwritten to {path}");
    let kept = ratios.iter().filter(|ratio| ratio.promised > 0.0 && ratio.median >= ratio.promised).count();
    kept == PROMISES.iter().filter(|(_, _, promised)| *promised > 0.0).count()
}

fn ratio(promise: &(&'static str, &'static str, f64), times: &BTreeMap<&str, Vec<Duration>>) -> Option<Ratio> {
    let &(of, to, promised) = promise;
    let (ours, theirs) = (times.get(of)?, times.get(to)?);
    let (least, median, most) =
        spread(ours.iter().zip(theirs).map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64()).collect());
    Some(Ratio { of, to, promised, least, median, most })
}

/// Least, median and most.
fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) };
    (values[0], median, values[values.len() - 1])
}
