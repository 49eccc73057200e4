//! The table of all keys against what the readers ask for, what is refused, and the reference files.

use std::collections::BTreeSet;

use expect_test::expect_file;

use super::*;
use crate::config::fields::asked;
use crate::config::keys::{KEYS, KeyOf, REFERENCE, REFERENCE_V3, last, table};

/// Files that have every block there is.
const FILES: [&str; 12] = [
    REFERENCE,
    include_str!("../samples/avro_options.yaml"),
    include_str!("../samples/cdc_merge.yaml"),
    include_str!("../samples/custom.yaml"),
    include_str!("../samples/several_tables.yaml"),
    include_str!("../samples/t7_key_value_meta.yaml"),
    include_str!("../samples/transformer_plugin.yaml"),
    include_str!("../samples/transformer_sql.yaml"),
    include_str!("../samples/v1_synopsis.yaml"),
    include_str!("../samples/v2_synopsis.yaml"),
    "FILE: a\nVERSION: 2\nKAFKA:\n  INPUT:\n    VALUE:\n      FORMAT: jsonl\n      JSONL_OPTION: {NEWLINE: x}\n  OUTPUT: {TABLE: t}\n",
    "VERSION: 2\nKAFKA:\n  INPUT:\n    VALUE:\n      FORMAT: protobuf\n      PROTOBUF_OPTION: {MESSAGE: x}\n  OUTPUT: {TABLE: t}\n",
];

/// What has been asked for while these files were read, as the table names it.
fn asked_for(files: &[String], home: fn(&str, &str) -> String) -> BTreeSet<String> {
    asked::take();
    for text in files {
        drop(parsed(text));
    }
    let path = |path: String| {
        path.rsplit("entry ")
            .next()
            .and_then(|path| path.split_once(" of "))
            .map_or(path.clone(), |(_, path)| path.to_owned())
    };
    asked::take().into_iter().map(|(block, key)| home(&path(block), key)).collect()
}

fn home_of_2(block: &str, key: &str) -> String {
    let is_content = ["COLUMNS", "FORMAT"].contains(&key) || key.ends_with("_OPTION");
    let block = block.replace("KAFKA.OUTPUTS", "KAFKA.OUTPUT").replace("KAFKA.INPUT.KEY", "KAFKA.INPUT.VALUE");
    let first_version =
        ["COLUMNS", "CSV_OPTION", "DELIMITED_OPTION"].iter().find(|key| block == format!("KAFKA.INPUT.{key}"));
    match (block.as_str(), first_version) {
        ("", _) => key.to_owned(),
        (_, Some(content)) => format!("KAFKA.INPUT.VALUE.{content}.{key}"),
        ("KAFKA.INPUT", _) if is_content => format!("KAFKA.INPUT.VALUE.{key}"),
        _ => format!("{block}.{key}"),
    }
}

/// All formats have the same keys for their columns, and modes are alike.
fn home_of_3(block: &str, key: &str) -> String {
    let block = block.replace("key_content", "value_content").replace("mode.update", "mode.merge");
    let block = block.replace("sources.kafka.window", "sources.kafka.task");
    // these may stand in either
    let is_anywhere = ["consistency", "fallback_offset", "recover_failing_batch", "save_failing_batch"].contains(&key);
    let block = if is_anywhere { "sources.kafka".to_owned() } else { block };
    match (block.rsplit_once('.'), key) {
        (Some((meta, "json")), "columns" | "column" | "source_column_name") if meta.ends_with("meta") => {
            format!("{meta}.json.column")
        }
        (Some((content, _)), "columns") => format!("{content}.csv.columns"),
        (Some((content, _)), "column") => format!("{content}.json.column"),
        (Some((content, _)), "source_column_name") => format!("{content}.avro.source_column_name"),
        _ if block.is_empty() => key.to_owned(),
        _ => format!("{block}.{key}"),
    }
}

#[test]
fn every_key_that_is_asked_for_is_in_the_table_and_no_other() {
    let files = FILES.map(|text| text.replace("{{port}}", "1").replace("{{region}}", "a"));
    let known: BTreeSet<String> = KEYS.iter().filter(|key| !key.v2.is_empty()).map(|key| key.v2.to_owned()).collect();
    let asked = asked_for(&files, home_of_2);
    let missing: Vec<_> = asked.difference(&known).collect();
    let unasked: Vec<_> = known.difference(&asked).collect();
    assert!(missing.is_empty() && unasked.is_empty(), "not in the table: {missing:?}; asked by nobody: {unasked:?}");
}

#[test]
fn every_key_of_version_3_is_in_the_table() {
    let window = "version: v3\ntargets: [gpdb: {}]\nsources:\n- kafka: {window: {batch_size: {}}, meta: {json: {}}}\noption: {}\n";
    let contents = ["avro", "binary", "csv", "custom", "delimited", "json", "protobuf"];
    let contents =
        contents.map(|format| window.replace("window", &format!("value_content: {{{format}: {{}}}}, window")));
    let modes = ["insert", "update", "merge"];
    let modes =
        modes.map(|mode| window.replace("gpdb: {}", &format!("{{gpdb: {{tables: [{{mode: {{{mode}: {{}}}}}}]}}}}")));
    let files: Vec<String> = contents.into_iter().chain(modes).chain([REFERENCE_V3.to_owned()]).collect();
    let known: BTreeSet<String> = KEYS.iter().filter(|key| !key.v3.is_empty()).map(|key| key.v3.to_owned()).collect();
    let is_own = |path: &String| !path.contains(|c: char| c.is_uppercase());
    let other_sources = ["sources.file", "sources.rabbitmq", "sources.s3"].map(str::to_owned);
    let asked = asked_for(&files, home_of_3).into_iter().filter(is_own).filter(|key| !other_sources.contains(key));
    let missing: Vec<_> = asked.filter(|key| !known.contains(key)).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
}

#[test]
fn the_reference_files_have_every_key() {
    let paths = |of: fn(&KeyOf) -> &'static str| KEYS.iter().map(of).filter(|path| !path.is_empty());
    for (text, paths) in [(REFERENCE, paths(|key| key.v2)), (REFERENCE_V3, paths(|key| key.v3))] {
        let words: BTreeSet<&str> =
            text.split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | ':')).collect();
        let has = |path: &&str| *path == "FILE" || words.contains(format!("{}:", last(path)).as_str());
        let missing: Vec<_> = paths.filter(|path| !has(path)).collect();
        assert!(missing.is_empty(), "the reference has no {missing:?}");
    }
}

#[test]
fn the_reference_of_version_3_is_right() {
    expect_file!["../reference_v3.txt"]
        .assert_debug_eq(&parsed(REFERENCE_V3).map_err(|refusal| render(&refusal, false, false)));
}

#[test]
fn the_table() {
    expect_file!["../keys.txt"].assert_eq(&table());
}
