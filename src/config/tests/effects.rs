//! Each key moves the job: a file without it means another job, or none. And what version 3 calls a key moves what
//! version 2 calls so, and nothing else. What the job's parts then do is for `cli/effects.rs` and integration tests.

use super::*;
use crate::config::keys::{KEYS, KeyOf, Standing};
use crate::config::{Callback, parse_without};

/// Every key there is, with a value that is no default, in version 2 and, written by hand, in version 3.
macro_rules! pairs {
    ($($file:literal),* $(,)?) => {
        [$((
            $file,
            include_str!(concat!("../every_key/", $file, ".yaml")),
            include_str!(concat!("../every_key/", $file, "_v3.yaml")),
        )),*]
    };
}

const PAIRS: [(&str, &str, &str); 9] = pairs![
    "avro_file",
    "avro_registry",
    "binary",
    "csv_merge",
    "custom",
    "jsonl_tables",
    "module",
    "protobuf_file",
    "protobuf_registry",
];

/// Keys of version 2 that are not quite those of version 3 beside them: blocks with other keys in them, columns that
/// version 3 may leave out or say by a name alone, and a format that is META's only one.
const NOT_ALIKE: [&str; 9] = [
    "KAFKA.COMMIT",
    "KAFKA.INPUT.META.COLUMNS",
    "KAFKA.INPUT.META.FORMAT",
    "KAFKA.INPUT.VALUE.COLUMNS",
    "KAFKA.INPUT.VALUE.COLUMNS.NAME",
    "KAFKA.INPUT.VALUE.COLUMNS.TYPE",
    "KAFKA.INPUT.VALUE.CSV_OPTION",
    "KAFKA.OUTPUT",
    "KAFKA.TASK",
];

/// Keys that have one right value, or no effect: all that is done with them is to refuse another.
const JUDGED: [(&str, &str); 3] =
    [("KAFKA.INPUT.META.FORMAT", "csv"), ("KAFKA.POLL.BATCHSIZE", "many"), ("KAFKA.POLL.TIMEOUT", "many")];

fn without(text: &str, key: &str) -> Result<Job, String> {
    parse_without(Path::new("orders.yaml"), text, key).map_err(|refusal| render(&refusal, false, false))
}

/// Without what only one of the versions can say.
fn common(job: Result<Job, String>) -> Option<Job> {
    job.ok().map(|job| Job { warnings: Vec::new(), callback: Callback::default(), ..job })
}

fn accepted() -> impl Iterator<Item = &'static KeyOf> {
    KEYS.iter().filter(|key| !matches!(key.standing, Standing::Refused(_)))
}

/// Whether any of the files means something else without the key, or nothing.
fn is_missed(key: &str, texts: impl IntoIterator<Item = &'static str>) -> bool {
    texts.into_iter().any(|text| without(text, key) != without(text, "none"))
}

#[test]
fn both_versions_mean_the_same() {
    for (name, two, three) in PAIRS {
        let job = |text| common(without(text, "none").inspect_err(|refusal| panic!("{name}: {refusal}")));
        assert_eq!(job(three), job(two), "{name}");
    }
}

#[test]
fn every_key_is_missed() {
    let mut ignored = Vec::new();
    for key in accepted() {
        let is_missed = |path: &str, texts: [&'static str; PAIRS.len()]| path.is_empty() || is_missed(path, texts);
        if !is_missed(key.v2, PAIRS.map(|(_, two, _)| two)) {
            ignored.push(key.v2);
        }
        if !is_missed(key.v3, PAIRS.map(|(_, _, three)| three)) {
            ignored.push(key.v3);
        }
    }
    assert_eq!(ignored, JUDGED.map(|(key, _)| key), "nobody would miss these");
    let (_, text, _) = PAIRS.into_iter().find(|(name, ..)| *name == "csv_merge").unwrap();
    for (key, wrong) in JUDGED {
        let refusal = without(text, &format!("{key}={wrong}")).unwrap_err();
        assert!(refusal.contains(&format!("`{}` must be ", crate::config::keys::last(key))), "{refusal}");
    }
}

#[test]
fn a_key_of_version_3_is_the_one_of_version_2_beside_it() {
    let both = accepted().filter(|key| !key.v2.is_empty() && !key.v3.is_empty());
    for key in both {
        let differs =
            PAIRS.into_iter().find(|(_, two, three)| common(without(three, key.v3)) != common(without(two, key.v2)));
        let differs = differs.map(|(name, ..)| name);
        assert_eq!(differs.is_some(), NOT_ALIKE.contains(&key.v2), "without {}: {differs:?}", key.v3);
    }
}

/// A file of version 2 that reads values alone, as version 1 has it.
fn flat(text: &str) -> String {
    let (head, value) = text.split_once("    VALUE:\n").unwrap();
    let (value, tail) = value.split_once("  OUTPUT:").unwrap();
    format!("{}{}  OUTPUT:{tail}", head.replace("VERSION: 2\n", ""), value.replace("      ", "    "))
}

#[test]
fn a_key_of_version_1_is_the_one_of_version_2_without_value() {
    let of_value = accepted().map(|key| key.v2).filter(|key| key.starts_with("KAFKA.INPUT.VALUE."));
    let of_value: Vec<_> = of_value.filter(|key| *key != "KAFKA.INPUT.VALUE.COLUMNS").chain(["none"]).collect();
    for file in ["avro_file", "avro_registry", "binary", "custom", "protobuf_file", "protobuf_registry"] {
        let (_, two, _) = PAIRS.into_iter().find(|(name, ..)| *name == file).unwrap();
        let one = flat(two);
        for key in &of_value {
            assert_eq!(common(without(&one, key)), common(without(two, key)), "{file} without {key}");
        }
        assert!(without(&one, "none").is_ok(), "{one}");
    }
}
