//! What the runs came to: a file that grows a line with each, and the table made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;

use super::cells::{Fault, POINTS, Point};
use super::run::Found;

/// What one run came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Came {
    Ran(Found),
    /// There was nothing to break.
    NotApplicable,
    Failed(String),
}

/// By point, fault and seed.
type Known = BTreeMap<(String, String, u32), Came>;

/// See the module.
pub struct Results {
    file: Mutex<File>,
    known: Mutex<Known>,
}

impl Results {
    /// What earlier runs have left is kept.
    pub fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let known = text.lines().filter_map(parse).collect();
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
        Self { file: Mutex::new(file), known: Mutex::new(known) }
    }

    /// Whether a run was made, and went as a run goes: one that failed is made again.
    pub fn has(&self, point: &Point, fault: Fault, seed: u32) -> bool {
        let known = self.known.lock().unwrap();
        known.get(&key(point, fault, seed)).is_some_and(|came| !matches!(came, Came::Failed(_)))
    }

    pub fn add(&self, point: &Point, fault: Fault, seed: u32, came: &Came) {
        let line = match came {
            Came::Ran(Found { lost, doubled, seconds }) => format!("{lost}\t{doubled}\t{seconds:.2}"),
            Came::NotApplicable => "n/a\t\t".to_owned(),
            Came::Failed(text) => format!("failed\t\t{}", text.lines().next().unwrap_or_default().replace('\t', " ")),
        };
        let line = format!("{}\t{}\t{seed}\t{line}\n", point.words, fault.name());
        self.file.lock().unwrap().write_all(line.as_bytes()).expect("the results are writable");
        self.known.lock().unwrap().insert(key(point, fault, seed), came.clone());
    }

    /// In Markdown: of each cell how many runs and the median of seconds; then the sums.
    pub fn table(&self) -> String {
        let known = self.known.lock().unwrap();
        let mut table = "| the loader is |".to_owned();
        Fault::ALL.iter().for_each(|fault| write!(table, " {} |", fault.name()).unwrap());
        table += "\n| --- |";
        Fault::ALL.iter().for_each(|_| table += " --- |");
        table += "\n";
        let mut all = Vec::new();
        let (mut lost, mut doubled, mut failed) = (0, 0, 0);
        for point in &POINTS {
            write!(table, "| {} |", point.words).unwrap();
            for fault in Fault::ALL {
                let runs = known.iter().filter(|((words, name, _), _)| words == point.words && name == fault.name());
                let (mut seconds, mut is_void) = (Vec::new(), true);
                for (_, came) in runs {
                    match came {
                        Came::Ran(found) => {
                            (lost, doubled, is_void) = (lost + found.lost, doubled + found.doubled, false);
                            seconds.push(found.seconds);
                        }
                        Came::Failed(_) => (failed, is_void) = (failed + 1, false),
                        Came::NotApplicable => {}
                    }
                }
                all.extend(&seconds);
                match percentile(&mut seconds, 50) {
                    Some(median) => write!(table, " {} × {median:.1} s |", seconds.len()).unwrap(),
                    None => table += if is_void { " – |" } else { " failed |" },
                }
            }
            table += "\n";
        }
        let (runs, p50, p99) = (all.len(), percentile(&mut all, 50), percentile(&mut all, 99));
        let seconds =
            |seconds: Option<f64>| seconds.map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s"));
        write!(
            table,
            "\n{runs} runs: {lost} rows lost, {doubled} doubled, {failed} runs failed; to the next commit p50 {}, p99 {}\n",
            seconds(p50),
            seconds(p99)
        )
        .unwrap();
        table
    }
}

fn key(point: &Point, fault: Fault, seed: u32) -> (String, String, u32) {
    (point.words.to_owned(), fault.name().to_owned(), seed)
}

fn parse(line: &str) -> Option<((String, String, u32), Came)> {
    let [point, fault, seed, lost, doubled, seconds] = line.split('\t').collect::<Vec<_>>()[..] else { return None };
    let came = match lost {
        "n/a" => Came::NotApplicable,
        "failed" => Came::Failed(seconds.to_owned()),
        lost => Came::Ran(Found {
            lost: lost.parse().ok()?,
            doubled: doubled.parse().ok()?,
            seconds: seconds.parse().ok()?,
        }),
    };
    Some(((point.to_owned(), fault.to_owned(), seed.parse().ok()?), came))
}

/// Of the sorted values, the one behind which so many per cent stand.
fn percentile(values: &mut [f64], percent: usize) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied()
}

#[test]
fn results_are_read_again_and_add_up() {
    let path = crate::harness::directory("results", crate::harness::User::current()).join("results.tsv");
    let [first, second] = [&POINTS[0], &POINTS[1]];
    let results = Results::open(&path);
    results.add(first, Fault::Kill, 0, &Came::Ran(Found { lost: 0, doubled: 0, seconds: 1.0 }));
    results.add(first, Fault::Kill, 1, &Came::Ran(Found { lost: 2, doubled: 1, seconds: 3.0 }));
    results.add(second, Fault::Stop, 0, &Came::Failed("it\tfell\nover".to_owned()));
    results.add(second, Fault::Kill, 0, &Came::NotApplicable);
    let again = Results::open(&path);
    assert!(again.has(first, Fault::Kill, 1) && !again.has(first, Fault::Kill, 2));
    assert!(again.has(second, Fault::Kill, 0) && !again.has(second, Fault::Stop, 0), "what failed is run again");
    assert_eq!(again.table(), results.table());
    assert!(again.table().contains("2 runs: 2 rows lost, 1 doubled, 1 runs failed; to the next commit p50 3.0 s"));
    assert!(again.table().contains("| after config | 2 × 3.0 s | – |"), "{}", again.table());
    assert!(again.table().contains("| after take-over | – | failed |"));
}
