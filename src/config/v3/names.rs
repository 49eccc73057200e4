//! Where version 3 has a key and where version 2 has it; and how complaints that speak of version 2's keys tell of
//! version 3's. Both directions come from the same tables.

use crate::config::keys;

/// A key of version 3, and its home in version 2.
pub(in crate::config) type Home = (&'static str, &'static str);

/// Under targets/gpdb, but for `tables`. `GPDB` stands for version 2's top level.
pub(in crate::config) const GPDB: [Home; 10] = [
    ("host", "GPDB.HOST"),
    ("port", "GPDB.PORT"),
    ("user", "GPDB.USER"),
    ("password", "GPDB.PASSWORD"),
    ("database", "GPDB.DATABASE"),
    ("work_schema", "KAFKA.METADATA.SCHEMA"),
    ("dead_letter_schema", "KAFKA.DEAD_LETTER.SCHEMA"),
    ("dead_letter_table", "KAFKA.DEAD_LETTER.TABLE"),
    ("error_limit", "KAFKA.INPUT.ERROR_LIMIT"),
    ("filter_expression", "KAFKA.INPUT.FILTER"),
];

/// Under each of `tables`, but for `mode`; of OUTPUT in version 2.
pub(in crate::config) const TABLE: [Home; 5] = [
    ("table", "TABLE"),
    ("schema", "SCHEMA"),
    ("transformer", "TRANSFORMER"),
    ("mapping", "MAPPING"),
    ("filter", "FILTER"),
];

/// The modes of a table, and what each can be told.
pub(in crate::config) const MODES: [(&str, &[Home]); 3] = [
    ("insert", &[]),
    (
        "update",
        &[
            ("match_columns", "MATCH_COLUMNS"),
            ("order_columns", "ORDER_COLUMNS"),
            ("update_columns", "UPDATE_COLUMNS"),
            ("update_condition", "UPDATE_CONDITION"),
        ],
    ),
    (
        "merge",
        &[
            ("match_columns", "MATCH_COLUMNS"),
            ("order_columns", "ORDER_COLUMNS"),
            ("update_columns", "UPDATE_COLUMNS"),
            ("update_condition", "UPDATE_CONDITION"),
            ("delete_condition", "DELETE_CONDITION"),
        ],
    ),
];

/// Under sources/kafka, but for contents, `transformer`, `task` and what may stand in either.
pub(in crate::config) const KAFKA: [Home; 5] = [
    ("topic", "KAFKA.INPUT.SOURCE.TOPIC"),
    ("brokers", "KAFKA.INPUT.SOURCE.BROKERS"),
    ("partitions", "KAFKA.INPUT.SOURCE.PARTITIONS"),
    ("encoding", "KAFKA.INPUT.ENCODING"),
    ("rdkafka_prop", "KAFKA.PROPERTIES"),
];

/// Under the source, or under `task`.
pub(in crate::config) const ANYWHERE: [Home; 4] = [
    ("save_failing_batch", "KAFKA.COMMIT.SAVE_FAILING_BATCH"),
    ("recover_failing_batch", "KAFKA.COMMIT.RECOVER_FAILING_BATCH"),
    ("consistency", "KAFKA.COMMIT.CONSISTENCY"),
    ("fallback_offset", "KAFKA.INPUT.SOURCE.FALLBACK_OFFSET"),
];

/// Under `task`.
pub(in crate::config) const TASK: [Home; 4] = [
    ("window_size", "KAFKA.TASK.BATCH_INTERVAL"),
    ("window_statement", "KAFKA.TASK.POST_BATCH_SQL"),
    ("prepare_statement", "KAFKA.TASK.PREPARE_SQL"),
    ("teardown_statement", "KAFKA.TASK.TEARDOWN_SQL"),
];

/// Under `task.batch_size`.
pub(in crate::config) const BATCH: [Home; 3] = [
    ("max_count", "KAFKA.COMMIT.MAX_ROW"),
    ("interval_ms", "KAFKA.COMMIT.MINIMAL_INTERVAL"),
    ("idle_duration_ms", "KAFKA.COMMIT.IDLE_DURATION"),
];

/// Under `option`.
pub(in crate::config) const OPTION: [Home; 2] = [("schedule", "SCHEDULE"), ("alert", "ALERT")];

/// Formats, and the block of options that version 2 has for each. `json` with `is_jsonl` is version 2's jsonl.
pub(in crate::config) const FORMATS: [(&str, Option<&str>); 7] = [
    ("avro", Some("AVRO_OPTION")),
    ("binary", None),
    ("csv", Some("CSV_OPTION")),
    ("custom", Some("CUSTOM_OPTION")),
    ("delimited", Some("DELIMITED_OPTION")),
    ("json", None),
    ("protobuf", Some("PROTOBUF_OPTION")),
];

/// Blocks of version 2 and where their keys stand in version 3, the longest first.
const BLOCKS: [Home; 13] = [
    ("sources.kafka", "KAFKA.INPUT.SOURCE"),
    ("sources.kafka.task.batch_size", "KAFKA.COMMIT"),
    ("sources.kafka.rdkafka_prop", "KAFKA.PROPERTIES"),
    ("targets.gpdb.tables", "KAFKA.OUTPUTS"),
    ("targets.gpdb.tables", "KAFKA.OUTPUT"),
    ("targets.gpdb", "KAFKA.METADATA"),
    ("targets.gpdb", "KAFKA.DEAD_LETTER"),
    ("sources.kafka", "KAFKA.INPUT"),
    ("sources.kafka.task", "KAFKA.TASK"),
    ("option.schedule", "SCHEDULE"),
    ("option.alert", "ALERT"),
    ("targets.gpdb", "KAFKA"),
    ("targets.gpdb", "GPDB"),
];

/// Keys inside formats that are called otherwise.
const IN_FORMATS: [Home; 2] = [("schema_url", "SCHEMA_REGISTRY_ADDR"), ("options", "PARAMSTR")];

/// Keys with a home of their own that are called otherwise, and blocks that only version 2 has.
const RENAMED: [Home; 10] = [
    ("value_content", "VALUE"),
    ("key_content", "KEY"),
    ("tables", "OUTPUT"),
    ("tables", "OUTPUTS"),
    ("avro", "AVRO_OPTION"),
    ("csv", "CSV_OPTION"),
    ("custom", "CUSTOM_OPTION"),
    ("delimited", "DELIMITED_OPTION"),
    ("is_jsonl", "JSONL_OPTION"),
    ("protobuf", "PROTOBUF_OPTION"),
];

/// What version 2 calls a key inside a format, a column, `schedule`, `alert` or a transformer. A key in capitals is
/// none of version 3's: its name is one that nobody asks for, and still close to the one that is meant.
pub(super) fn canonical(written: &str) -> String {
    let renamed = IN_FORMATS.iter().find(|(name, _)| *name == written);
    let is_taken = IN_FORMATS.iter().any(|(_, name)| name.eq_ignore_ascii_case(written));
    match renamed {
        Some((_, name)) => (*name).to_owned(),
        None if is_taken || written.chars().any(char::is_uppercase) => written.to_lowercase(),
        None => written.to_uppercase(),
    }
}

/// All tables in which a key of version 2 has another name than its own in lower case, or a home.
fn homes() -> impl Iterator<Item = Home> {
    let modes = MODES.into_iter().flat_map(|(_, keys)| keys.iter().copied());
    let homes = GPDB.into_iter().chain(KAFKA).chain(ANYWHERE).chain(TASK).chain(BATCH).chain(OPTION);
    RENAMED.into_iter().chain(IN_FORMATS).chain(TABLE).chain(modes).chain(homes)
}

/// What version 3 calls a key that is asked for.
pub(in crate::config) fn spelled(key: &str) -> String {
    let lowered = is_inner(key).then(|| key.to_lowercase());
    lowered.or_else(|| renamed(key)).unwrap_or_else(|| key.to_lowercase())
}

/// What version 3 calls a key inside a format, a column, `schedule`, `alert` or a transformer: the way back from
/// [`canonical`].
pub(in crate::config) fn inner(key: &str) -> String {
    let renamed = IN_FORMATS.iter().find(|(_, name)| *name == key);
    renamed.map_or_else(|| key.to_lowercase(), |(name, _)| (*name).to_owned())
}

/// A transformer's PROPERTIES are called so in both; those of librdkafka are not.
fn is_inner(key: &str) -> bool {
    key == "PROPERTIES"
}

fn renamed(key: &str) -> Option<String> {
    let of_home = |home: &'static str| home.rsplit('.').next().unwrap_or(home);
    let found = homes().find(|(_, home)| of_home(home) == key);
    found.map(|(name, _)| name.to_owned()).or_else(|| keys::is_key(key).then(|| key.to_lowercase()))
}

/// A complaint in version 3's words. What stands in backticks or quotes is the file's own and stays.
pub(in crate::config) fn told(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut quote = None;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let length = if quote.is_none() && is_word(c) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { 0 };
        if length > 0 {
            told.push_str(&words(&rest[..length]));
            rest = &rest[length..];
            continue;
        }
        quote = match quote {
            None if matches!(c, '`' | '"') => Some(c),
            Some(open) if open == c => None,
            other => other,
        };
        told.push(c);
        rest = &rest[c.len_utf8()..];
    }
    told
}

/// A key, or a path of keys.
fn words(run: &str) -> String {
    let inside = |block: &str| {
        run.strip_prefix(block)
            .filter(|rest| rest.starts_with('.') || rest.is_empty() && block != "SCHEDULE" && block != "ALERT")
    };
    let (mut told, rest) = match BLOCKS.iter().find_map(|(name, block)| Some((*name, inside(block)?))) {
        Some((name, rest)) => (name.to_owned(), rest),
        None => (String::new(), run),
    };
    for (at, word) in rest.split('.').enumerate() {
        told.push_str(if at > 0 { "." } else { "" });
        told.push_str(&renamed(word).unwrap_or_else(|| word.to_owned()));
    }
    told
}

/// Where a key belongs that stands in the wrong block of a file of version 3, or has the capitals of version 2.
pub(in crate::config) fn belongs(written: &str) -> Option<String> {
    let key = written.to_lowercase();
    let blocks: [(&str, &[Home]); 7] = [
        ("targets.gpdb", &GPDB),
        ("targets.gpdb.tables", &TABLE),
        ("sources.kafka", &KAFKA),
        ("sources.kafka", &ANYWHERE),
        ("sources.kafka.task", &TASK),
        ("sources.kafka.task.batch_size", &BATCH),
        ("option", &OPTION),
    ];
    let (block, _) = blocks.iter().find(|(_, keys)| keys.iter().any(|(name, _)| *name == key))?;
    Some(format!("`{key}` belongs under {block}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_speak_of_keys_as_the_file_has_them() {
        for (text, expected) in [
            (
                "`topic` must be 1, not `TOPIC` under KAFKA.INPUT.SOURCE",
                "`topic` must be 1, not `TOPIC` under sources.kafka",
            ),
            ("MINIMAL_INTERVAL and MAX_ROW may not both be 0", "interval_ms and max_count may not both be 0"),
            ("entry 1 of KAFKA.OUTPUTS", "entry 1 of targets.gpdb.tables"),
            ("KAFKA.INPUT.value_content.csv.columns", "sources.kafka.value_content.csv.columns"),
            ("VALUE needs COLUMNS: SQL is not YAML", "value_content needs columns: SQL is not YAML"),
            ("FORCE_NOT_NULL names \"KEY\"", "force_not_null names \"KEY\""),
            ("under SCHEDULE.x", "under option.schedule.x"),
        ] {
            assert_eq!(told(text), expected);
        }
    }

    #[test]
    fn capitals_are_no_keys_of_version_3() {
        assert_eq!(canonical("max_retries"), "MAX_RETRIES");
        assert_eq!(canonical("Max_Retries"), "max_retries");
        assert_eq!(canonical("schema_url"), "SCHEMA_REGISTRY_ADDR");
        assert_eq!(canonical("schema_registry_addr"), "schema_registry_addr");
    }
}
