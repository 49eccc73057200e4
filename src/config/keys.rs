//! Every key of a job file: where versions 1 and 2 have it and where version 3 does, since when, and what becomes of it
//! here. `gpkafka help config --table` prints it; tests compare it with what the readers ask for, so that no key is
//! forgotten. Called by cli and, for names, by `v3`.

use std::fmt::Write as _;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As the original has it.
    Works,
    /// It works otherwise, or there is nothing for it to do.
    Differs(&'static str),
    /// The file is refused.
    Refused(&'static str),
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyOf {
    /// In versions 1 and 2; empty: it is version 3's own. KEY is like VALUE, OUTPUTS' entries like OUTPUT; version 1 has
    /// the keys of VALUE right under INPUT.
    pub v2: &'static str,
    /// In version 3; empty: it has no such key. `key_content` is like `value_content`.
    pub v3: &'static str,
    /// The release of the original that brought it; `own`: the original does not have it.
    pub since: &'static str,
    pub standing: Standing,
}

const fn works(v2: &'static str, v3: &'static str, since: &'static str) -> KeyOf {
    KeyOf { v2, v3, since, standing: Standing::Works }
}

const fn differs(v2: &'static str, v3: &'static str, since: &'static str, how: &'static str) -> KeyOf {
    KeyOf { v2, v3, since, standing: Standing::Differs(how) }
}

/// All of them, in the order of the reference file.
pub const KEYS: &[KeyOf] = &[
    works("VERSION", "version", "5.18"),
    works("", "targets", "1.7"),
    works("", "targets.gpdb", "1.7"),
    works("DATABASE", "targets.gpdb.database", "5.10"),
    works("USER", "targets.gpdb.user", "5.10"),
    differs(
        "PASSWORD",
        "targets.gpdb.password",
        "5.10",
        "SHADOW: of `gpkafka shadow`; also ${VARIABLE}, PGPASSWORD and ~/.pgpass",
    ),
    works("HOST", "targets.gpdb.host", "5.10"),
    works("PORT", "targets.gpdb.port", "5.10"),
    KeyOf {
        v2: "FILE",
        v3: "",
        since: "1.4",
        standing: Standing::Refused("it loads files; this program loads topics"),
    },
    works("", "sources", "1.7"),
    works("KAFKA", "sources.kafka", "5.10"),
    works("KAFKA.INPUT", "", "5.10"),
    works("KAFKA.INPUT.SOURCE", "", "5.10"),
    works("KAFKA.INPUT.SOURCE.BROKERS", "sources.kafka.brokers", "5.10"),
    works("KAFKA.INPUT.SOURCE.TOPIC", "sources.kafka.topic", "5.10"),
    differs(
        "KAFKA.INPUT.SOURCE.PARTITIONS",
        "sources.kafka.partitions",
        "1.5",
        "jobs of other partitions are told apart; 10,000 at most",
    ),
    works("KAFKA.INPUT.SOURCE.FALLBACK_OFFSET", "sources.kafka.fallback_offset", "1.6"),
    differs("KAFKA.INPUT.SOURCE.ENCRYPTION", "", "5.18", "no effect; say security.protocol in PROPERTIES"),
    works("KAFKA.INPUT.VALUE", "sources.kafka.value_content", "5.18"),
    works("KAFKA.INPUT.KEY", "sources.kafka.key_content", "5.18"),
    works("KAFKA.INPUT.VALUE.COLUMNS", "sources.kafka.value_content.csv.columns", "5.10"),
    works("KAFKA.INPUT.VALUE.COLUMNS.NAME", "sources.kafka.value_content.csv.columns.name", "5.10"),
    works("KAFKA.INPUT.VALUE.COLUMNS.TYPE", "sources.kafka.value_content.csv.columns.type", "5.10"),
    works("KAFKA.INPUT.VALUE.COLUMNS.PATH", "sources.kafka.value_content.csv.columns.path", "own"),
    works("", "sources.kafka.value_content.json.column", "1.7"),
    works("", "sources.kafka.value_content.avro.source_column_name", "1.7"),
    differs("KAFKA.INPUT.VALUE.FORMAT", "", "5.10", "also protobuf"),
    works("", "sources.kafka.value_content.avro", "1.7"),
    works("", "sources.kafka.value_content.binary", "1.7"),
    works("", "sources.kafka.value_content.protobuf", "own"),
    works("", "sources.kafka.value_content.json", "1.7"),
    works("", "sources.kafka.value_content.json.is_jsonl", "1.7"),
    works("KAFKA.INPUT.VALUE.CSV_OPTION", "sources.kafka.value_content.csv", "1.6"),
    works("KAFKA.INPUT.VALUE.CSV_OPTION.DELIMITER", "sources.kafka.value_content.csv.delimiter", "1.6"),
    works("KAFKA.INPUT.VALUE.CSV_OPTION.QUOTE", "sources.kafka.value_content.csv.quote", "1.6"),
    works("KAFKA.INPUT.VALUE.CSV_OPTION.ESCAPE", "sources.kafka.value_content.csv.escape", "1.6"),
    works("KAFKA.INPUT.VALUE.CSV_OPTION.NULL_STRING", "sources.kafka.value_content.csv.null_string", "1.6"),
    works("KAFKA.INPUT.VALUE.CSV_OPTION.FORCE_NOT_NULL", "sources.kafka.value_content.csv.force_not_null", "1.6"),
    works(
        "KAFKA.INPUT.VALUE.CSV_OPTION.FILL_MISSING_FIELDS",
        "sources.kafka.value_content.csv.fill_missing_fields",
        "1.6",
    ),
    works("KAFKA.INPUT.VALUE.DELIMITED_OPTION", "sources.kafka.value_content.delimited", "5.10"),
    works("KAFKA.INPUT.VALUE.DELIMITED_OPTION.DELIMITER", "sources.kafka.value_content.delimited.delimiter", "5.10"),
    works("KAFKA.INPUT.VALUE.DELIMITED_OPTION.EOL_PREFIX", "sources.kafka.value_content.delimited.eol_prefix", "1.5"),
    works("KAFKA.INPUT.VALUE.DELIMITED_OPTION.QUOTE", "sources.kafka.value_content.delimited.quote", "1.5"),
    works("KAFKA.INPUT.VALUE.DELIMITED_OPTION.ESCAPE", "sources.kafka.value_content.delimited.escape", "1.5"),
    works("KAFKA.INPUT.VALUE.JSONL_OPTION", "", "1.5"),
    works("KAFKA.INPUT.VALUE.JSONL_OPTION.NEWLINE", "sources.kafka.value_content.json.newline", "1.5"),
    works("KAFKA.INPUT.VALUE.AVRO_OPTION", "", "5.10"),
    works("KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_REGISTRY_ADDR", "sources.kafka.value_content.avro.schema_url", "5.10"),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_REGISTRY_USER",
        "sources.kafka.value_content.avro.schema_registry_user",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_REGISTRY_PASSWORD",
        "sources.kafka.value_content.avro.schema_registry_password",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_CA_ON_GPDB",
        "sources.kafka.value_content.avro.schema_ca_on_gpdb",
        "1.6",
    ),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_CERT_ON_GPDB",
        "sources.kafka.value_content.avro.schema_cert_on_gpdb",
        "1.6",
    ),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_KEY_ON_GPDB",
        "sources.kafka.value_content.avro.schema_key_on_gpdb",
        "1.6",
    ),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_MIN_TLS_VERSION",
        "sources.kafka.value_content.avro.schema_min_tls_version",
        "1.6",
    ),
    works(
        "KAFKA.INPUT.VALUE.AVRO_OPTION.SCHEMA_PATH_ON_GPDB",
        "sources.kafka.value_content.avro.schema_path_on_gpdb",
        "1.6",
    ),
    works("KAFKA.INPUT.VALUE.AVRO_OPTION.BYTES_TO_BASE64", "sources.kafka.value_content.avro.bytes_to_base64", "1.4"),
    works("KAFKA.INPUT.VALUE.PROTOBUF_OPTION", "", "own"),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_REGISTRY_ADDR",
        "sources.kafka.value_content.protobuf.schema_url",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_REGISTRY_USER",
        "sources.kafka.value_content.protobuf.schema_registry_user",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_REGISTRY_PASSWORD",
        "sources.kafka.value_content.protobuf.schema_registry_password",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_CA_ON_GPDB",
        "sources.kafka.value_content.protobuf.schema_ca_on_gpdb",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_CERT_ON_GPDB",
        "sources.kafka.value_content.protobuf.schema_cert_on_gpdb",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_KEY_ON_GPDB",
        "sources.kafka.value_content.protobuf.schema_key_on_gpdb",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.SCHEMA_MIN_TLS_VERSION",
        "sources.kafka.value_content.protobuf.schema_min_tls_version",
        "own",
    ),
    works(
        "KAFKA.INPUT.VALUE.PROTOBUF_OPTION.DESCRIPTOR_SET",
        "sources.kafka.value_content.protobuf.descriptor_set",
        "own",
    ),
    works("KAFKA.INPUT.VALUE.PROTOBUF_OPTION.MESSAGE", "sources.kafka.value_content.protobuf.message", "own"),
    works("KAFKA.INPUT.VALUE.CUSTOM_OPTION", "sources.kafka.value_content.custom", "5.18"),
    works("KAFKA.INPUT.VALUE.CUSTOM_OPTION.NAME", "sources.kafka.value_content.custom.name", "5.18"),
    works("KAFKA.INPUT.VALUE.CUSTOM_OPTION.PARAMSTR", "sources.kafka.value_content.custom.options", "5.18"),
    works("KAFKA.INPUT.META", "sources.kafka.meta", "1.5"),
    works("KAFKA.INPUT.META.COLUMNS", "sources.kafka.meta.json.column", "1.5"),
    works("KAFKA.INPUT.META.COLUMNS.NAME", "sources.kafka.meta.json.column.name", "1.5"),
    differs(
        "KAFKA.INPUT.META.COLUMNS.TYPE",
        "sources.kafka.meta.json.column.type",
        "1.5",
        "any type, where a column is one field",
    ),
    works("KAFKA.INPUT.META.COLUMNS.FIELD", "sources.kafka.meta.json.columns.field", "own"),
    works("KAFKA.INPUT.META.FORMAT", "sources.kafka.meta.json", "1.5"),
    works("KAFKA.INPUT.TRANSFORMER", "sources.kafka.transformer", "1.9"),
    differs(
        "KAFKA.INPUT.TRANSFORMER.PATH",
        "sources.kafka.transformer.path",
        "1.9",
        "a WebAssembly module, .wasm or .wat, in place of a Go plugin",
    ),
    works("KAFKA.INPUT.TRANSFORMER.ON_INIT", "sources.kafka.transformer.on_init", "1.9"),
    works("KAFKA.INPUT.TRANSFORMER.TRANSFORM", "sources.kafka.transformer.transform", "1.9"),
    works("KAFKA.INPUT.TRANSFORMER.PROPERTIES", "sources.kafka.transformer.properties", "1.9"),
    works("KAFKA.INPUT.FILTER", "targets.gpdb.filter_expression", "6.1"),
    works("KAFKA.INPUT.ENCODING", "sources.kafka.encoding", "1.10"),
    differs(
        "KAFKA.INPUT.ERROR_LIMIT",
        "targets.gpdb.error_limit",
        "5.10",
        "counted for the whole batch, not per segment; 1 is allowed",
    ),
    differs("KAFKA.INPUT.LOCAL_HOSTNAME", "", "5.18", "--gpfdist-host comes first; version 3 has only the flag"),
    differs("KAFKA.INPUT.LOCAL_PORT", "", "5.18", "--gpfdist-port comes first; version 3 has only the flag"),
    works("KAFKA.OUTPUT", "targets.gpdb.tables", "5.10"),
    works("KAFKA.OUTPUTS", "", "1.7"),
    works("KAFKA.OUTPUT.SCHEMA", "targets.gpdb.tables.schema", "5.10"),
    works("KAFKA.OUTPUT.TABLE", "targets.gpdb.tables.table", "5.10"),
    works("KAFKA.OUTPUT.FILTER", "targets.gpdb.tables.filter", "1.10"),
    works("KAFKA.OUTPUT.MODE", "targets.gpdb.tables.mode", "6.1"),
    works("", "targets.gpdb.tables.mode.insert", "1.7"),
    works("", "targets.gpdb.tables.mode.update", "1.7"),
    works("", "targets.gpdb.tables.mode.merge", "1.7"),
    works("KAFKA.OUTPUT.MATCH_COLUMNS", "targets.gpdb.tables.mode.merge.match_columns", "6.1"),
    works("KAFKA.OUTPUT.ORDER_COLUMNS", "targets.gpdb.tables.mode.merge.order_columns", "1.3.6"),
    works("KAFKA.OUTPUT.UPDATE_COLUMNS", "targets.gpdb.tables.mode.merge.update_columns", "6.1"),
    works("KAFKA.OUTPUT.UPDATE_CONDITION", "targets.gpdb.tables.mode.merge.update_condition", "6.1"),
    works("KAFKA.OUTPUT.DELETE_CONDITION", "targets.gpdb.tables.mode.merge.delete_condition", "1.3.6"),
    works("KAFKA.OUTPUT.TRANSFORMER", "targets.gpdb.tables.transformer", "1.9"),
    works("KAFKA.OUTPUT.TRANSFORMER.TRANSFORM", "targets.gpdb.tables.transformer.transform", "1.9"),
    works("KAFKA.OUTPUT.TRANSFORMER.PROPERTIES", "targets.gpdb.tables.transformer.properties", "1.9"),
    works("KAFKA.OUTPUT.TRANSFORMER.COLUMNS", "targets.gpdb.tables.transformer.columns", "1.9"),
    works("KAFKA.OUTPUT.MAPPING", "targets.gpdb.tables.mapping", "5.10"),
    works("KAFKA.OUTPUT.MAPPING.NAME", "", "5.10"),
    works("KAFKA.OUTPUT.MAPPING.EXPRESSION", "", "5.10"),
    works("KAFKA.METADATA", "", "5.18"),
    works("KAFKA.METADATA.SCHEMA", "targets.gpdb.work_schema", "5.18"),
    works("KAFKA.DEAD_LETTER", "", "own"),
    works("KAFKA.DEAD_LETTER.SCHEMA", "targets.gpdb.dead_letter_schema", "own"),
    works("KAFKA.DEAD_LETTER.TABLE", "targets.gpdb.dead_letter_table", "own"),
    works("KAFKA.COMMIT", "sources.kafka.task.batch_size", "5.10"),
    works("KAFKA.COMMIT.MAX_ROW", "sources.kafka.task.batch_size.max_count", "5.10"),
    works("KAFKA.COMMIT.MINIMAL_INTERVAL", "sources.kafka.task.batch_size.interval_ms", "5.10"),
    works("KAFKA.COMMIT.IDLE_DURATION", "sources.kafka.task.batch_size.idle_duration_ms", "1.6"),
    differs(
        "KAFKA.COMMIT.CONSISTENCY",
        "sources.kafka.consistency",
        "1.6",
        "at-least commits rows first, at-most the offset first",
    ),
    works("KAFKA.COMMIT.SAVE_FAILING_BATCH", "sources.kafka.save_failing_batch", "1.5"),
    differs(
        "KAFKA.COMMIT.RECOVER_FAILING_BATCH",
        "sources.kafka.recover_failing_batch",
        "1.6",
        "needs neither SAVE_FAILING_BATCH nor a function; more than 1,000 bad rows fail the batch",
    ),
    differs("KAFKA.POLL", "", "5.18", "no effect"),
    differs("KAFKA.POLL.BATCHSIZE", "", "5.18", "no effect"),
    differs("KAFKA.POLL.TIMEOUT", "", "5.18", "no effect"),
    works("KAFKA.TASK", "sources.kafka.task", "5.18"),
    works("", "sources.kafka.window", "1.8"),
    works("KAFKA.TASK.POST_BATCH_SQL", "sources.kafka.task.window_statement", "5.18"),
    works("KAFKA.TASK.BATCH_INTERVAL", "sources.kafka.task.window_size", "5.18"),
    works("KAFKA.TASK.PREPARE_SQL", "sources.kafka.task.prepare_statement", "1.8"),
    works("KAFKA.TASK.TEARDOWN_SQL", "sources.kafka.task.teardown_statement", "1.8"),
    differs(
        "KAFKA.PROPERTIES",
        "sources.kafka.rdkafka_prop",
        "5.10",
        "checked by librdkafka; positions stay with the database",
    ),
    works("", "option", "1.7"),
    works("SCHEDULE", "option.schedule", "1.3"),
    works("SCHEDULE.RETRY_INTERVAL", "option.schedule.retry_interval", "1.3"),
    works("SCHEDULE.MAX_RETRIES", "option.schedule.max_retries", "1.3"),
    works("SCHEDULE.RUNNING_DURATION", "option.schedule.running_duration", "1.8"),
    works("SCHEDULE.AUTO_STOP_RESTART_INTERVAL", "option.schedule.auto_stop_restart_interval", "1.8"),
    works("SCHEDULE.MAX_RESTART_TIMES", "option.schedule.max_restart_times", "1.8"),
    works("SCHEDULE.QUIT_AT_EOF_AFTER", "option.schedule.quit_at_eof_after", "1.8"),
    works("ALERT", "option.alert", "1.10"),
    works("ALERT.COMMAND", "option.alert.command", "1.10"),
    works("ALERT.WORKDIR", "option.alert.workdir", "1.10"),
    works("ALERT.TIMEOUT", "option.alert.timeout", "1.10"),
    works("ALERT.WEBHOOK", "option.alert.webhook", "own"),
];

/// The reference file of versions 1 and 2.
pub const REFERENCE: &str = include_str!("reference.yaml");

/// And of version 3.
pub const REFERENCE_V3: &str = include_str!("reference_v3.yaml");

/// Whether version 2 has a key of this name anywhere.
pub(super) fn is_key(name: &str) -> bool {
    KEYS.iter().any(|key| last(key.v2) == name)
}

/// The name of a key, without its path.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// All keys, a line each.
pub fn table() -> String {
    let rows: Vec<[String; 4]> = KEYS
        .iter()
        .map(|key| {
            let standing = match key.standing {
                Standing::Works => "works".to_owned(),
                Standing::Differs(how) => format!("differs: {how}"),
                Standing::Refused(why) => format!("refused: {why}"),
            };
            let shown = |path: &str| if path.is_empty() { "-".to_owned() } else { path.to_owned() };
            [shown(key.v2), shown(key.v3), key.since.to_owned(), standing]
        })
        .collect();
    let head = ["versions 1 and 2", "version 3", "since", "here"].map(str::to_owned);
    let width = |at: usize| rows.iter().chain([&head]).map(|row| row[at].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut text = String::new();
    for [v2, v3, since, standing] in [&head].into_iter().chain(&rows) {
        let [first, second, third] = widths;
        // writing to a String cannot fail
        let _infallible = writeln!(text, "{v2:first$}  {v3:second$}  {since:third$}  {standing}");
    }
    text
}
