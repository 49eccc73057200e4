//! Version 3: what its files mean, and what is wrong with them.

use super::*;

/// The job of [`file`] in version 3.
fn v3(edits: &[(&str, &str)]) -> String {
    let mut text = "\
version: v3
targets:
- gpdb:
    host: mdw
    port: 5432
    user: gpadmin
    database: testdb
    tables:
    - table: orders
sources:
- kafka:
    topic: orders
    brokers: localhost:9092
    value_content:
      csv:
        columns:
        - name: id
          type: int
    task:
      batch_size:
        interval_ms: 2000
"
    .to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the file");
        text = text.replacen(from, to, 1);
    }
    text
}

fn check(edits: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&complaints(&v3(edits)));
}

#[test]
fn dead_letters_are_told_of_in_its_words() {
    let letters = ("    tables:", "    dead_letter_table: refused\n    tables:");
    check(
        &[letters],
        expect![[r#"
        orders.yaml:8:5: dead letters need error_limit: so many rejects of a batch go there, one more fails it (write `error_limit: 1000` or `error_limit: 10%` under targets.gpdb)
    "#]],
    );
    let saves = ("    task:", "    save_failing_batch: true\n    task:");
    check(
        &[letters, saves, ("    tables:", "    error_limit: 5\n    tables:")],
        expect![[r#"
        orders.yaml:8:5: dead letters have their own way with rows that the database refuses: they go there, and others are loaded (leave save_failing_batch and recover_failing_batch out)
    "#]],
    );
}

/// What an edit of version 3 means is what an edit of version 2 means, refusals and warnings but for their places and words.
fn same(edits: &[(&str, &str)], edits_of_2: &[(&str, &str)]) {
    let job = |text: &str| match parsed(text) {
        Ok(job) => Job { warnings: Vec::new(), ..job },
        Err(refusal) => panic!("{text}\n{}", render(&refusal, false, false)),
    };
    assert_eq!(job(&v3(edits)), job(&file(edits_of_2)));
}

#[test]
fn it_means_what_version_2_means() {
    same(&[], &[]);
    same(&[("version: v3", "version: V3\noption:")], &[]);
    same(
        &[
            (
                "    database: testdb",
                "    database: testdb\n    password: p\n    work_schema: w\n    error_limit: 5%\n    filter_expression: id > 1;",
            ),
            (
                "    - table: orders",
                "    - table: '\"Orders\"'\n      schema: s\n      filter: id < 9\n      mode:\n        insert: {}\n      mapping: {a: id, b: id + 1}",
            ),
            (
                "    topic: orders",
                "    topic: orders\n    partitions: (1, 3...5)\n    fallback_offset: latest\n    rdkafka_prop: {group.id: g}",
            ),
            (
                "        interval_ms: 2000",
                "        interval_ms: 2000\n        max_count: 7\n        idle_duration_ms: -1",
            ),
        ],
        &[
            ("USER: gpadmin", "USER: gpadmin\nPASSWORD: p"),
            (
                "  OUTPUT:\n    TABLE: orders",
                "    FILTER: id > 1\n    ERROR_LIMIT: 5%\n  METADATA: {SCHEMA: w}\n  PROPERTIES: {group.id: g}\n  OUTPUT:\n    TABLE: '\"Orders\"'\n    SCHEMA: s\n    FILTER: id < 9\n    MAPPING: [{NAME: a, EXPRESSION: id}, {NAME: b, EXPRESSION: id + 1}]",
            ),
            ("      TOPIC: orders", "      TOPIC: orders\n      PARTITIONS: (1, 3...5)\n      FALLBACK_OFFSET: latest"),
            ("    MINIMAL_INTERVAL: 2000", "    MINIMAL_INTERVAL: 2000\n    MAX_ROW: 7\n    IDLE_DURATION: -1"),
        ],
    );
    same(
        &[(
            "    task:\n      batch_size:\n        interval_ms: 2000",
            "    window:\n      fallback_offset: earliest\n      consistency: strong\n      save_failing_batch: false",
        )],
        &[
            ("    MINIMAL_INTERVAL: 2000", "    CONSISTENCY: strong"),
            ("TOPIC: orders", "TOPIC: orders\n      FALLBACK_OFFSET: earliest"),
        ],
    );
}

#[test]
fn formats() {
    let csv = "      csv:\n        columns:\n        - name: id\n          type: int\n";
    let csv_2 = "      COLUMNS:\n        - NAME: id\n          TYPE: int\n      FORMAT: csv\n";
    for (ours, theirs) in [
        (
            "      csv: {columns: [{name: id, type: int}], delimiter: ';', quote: \"'\", null_string: x, escape: '\\', force_not_null: [id], fill_missing_fields: yes}\n",
            "      COLUMNS: [{NAME: id, TYPE: int}]\n      FORMAT: csv\n      CSV_OPTION: {DELIMITER: ';', QUOTE: \"'\", NULL_STRING: x, ESCAPE: '\\', FORCE_NOT_NULL: id, FILL_MISSING_FIELDS: true}\n",
        ),
        (
            "      delimited: {columns: [{name: id, type: int}], delimiter: '|'}\n",
            "      COLUMNS: [{NAME: id, TYPE: int}]\n      FORMAT: delimited\n      DELIMITED_OPTION: {DELIMITER: '|'}\n",
        ),
        ("      json:\n", "      FORMAT: json\n"),
        (
            "      json: {column: {name: j, type: jsonb}}\n",
            "      COLUMNS: [{NAME: j, TYPE: jsonb}]\n      FORMAT: json\n",
        ),
        ("      json: {source_column_name: j}\n", "      COLUMNS: [{NAME: j, TYPE: json}]\n      FORMAT: json\n"),
        (
            "      json: {column: {name: j, type: json}, is_jsonl: true, newline: \"\\r\\n\"}\n",
            "      COLUMNS: [{NAME: j, TYPE: json}]\n      FORMAT: jsonl\n      JSONL_OPTION: {NEWLINE: \"\\r\\n\"}\n",
        ),
        ("      binary: {source_column_name: b}\n", "      COLUMNS: [{NAME: b, TYPE: bytea}]\n      FORMAT: binary\n"),
    ] {
        same(&[(csv, ours)], &[(csv_2, theirs)]);
    }
    // as in version 1, and unlike version 2, any format may do without columns
    let own = parsed(&v3(&[(csv, "      csv: {}\n")])).unwrap();
    assert_eq!(own.value.unwrap().columns, None);
    let meta = "    meta: {json: {column: {name: m, type: json}}}\n    key_content: {delimited: {columns: [{name: k, type: text}], delimiter: '|'}}\n    task:";
    let meta_2 = "    META: {COLUMNS: [{NAME: m, TYPE: json}], FORMAT: json}\n    KEY: {COLUMNS: [{NAME: k, TYPE: text}], FORMAT: delimited, DELIMITED_OPTION: {DELIMITER: '|'}}\n  OUTPUT:";
    same(&[("    task:", meta)], &[("  OUTPUT:", meta_2)]);
}

#[test]
fn everything_wrong_is_told_at_once() {
    check(
        &[
            ("    port: 5432", "    PORT: 5432\n    topic: a"),
            ("    database: testdb", "    database: testdb\n    error_limit: few"),
            (
                "    - table: orders",
                "    - tabel: orders\n      mode: {merge: {match_columns: [a, a], mach: 1}, insert: }",
            ),
            ("          type: int", "          typ: int"),
            ("        columns:", "        force_not_null: x\n        delimter: ','\n        columns:"),
            ("    task:", "    window: {}\n    consistency: eventual\n    task:\n      consistency: none"),
            ("interval_ms", "intervall_ms"),
        ],
        expect![[r#"
            orders.yaml:3:3: `port` is missing under targets.gpdb
            orders.yaml:5:5: unknown key `PORT` under targets.gpdb (did you mean `port`?)
            orders.yaml:6:5: unknown key `topic` under targets.gpdb (`topic` belongs under sources.kafka)
            orders.yaml:9:18: `error_limit` must be a number of records or a whole percentage up to `100%`, not `few`
            orders.yaml:11:7: unknown key `tabel` under entry 1 of targets.gpdb.tables (did you mean `table`?)
            orders.yaml:11:7: `table` is missing under targets.gpdb.tables
            orders.yaml:12:14: mode is one of insert, update and merge, not several
            orders.yaml:12:45: unknown key `mach` under entry 1 of targets.gpdb.tables.mode.merge
            orders.yaml:20:9: unknown key `delimter` under sources.kafka.value_content.csv (did you mean `delimiter`?)
            orders.yaml:23:11: unknown key `typ` under entry 1 of sources.kafka.value_content.csv.columns (did you mean `type`?)
            orders.yaml:24:5: `window` is the old name of `task`: both are given (move its keys into `task`)
            orders.yaml:25:18: `consistency` must be strong, at-least, at-most or none, not `eventual`
            orders.yaml:27:7: `consistency` is given twice, in line 25 and under task
            orders.yaml:29:9: unknown key `intervall_ms` under sources.kafka.task.batch_size (did you mean `interval_ms`?)
        "#]],
    );
    check(
        &[
            ("    - table: orders", "    - schema: 'a\"'"),
            ("    topic: orders\n", ""),
            ("2000", "0"),
            ("    port: 5432\n", ""),
        ],
        expect![[r#"
            orders.yaml:3:3: `port` is missing under targets.gpdb
            orders.yaml:8:7: `table` is missing under targets.gpdb.tables
            orders.yaml:8:15: `schema` has a double quote too many or too few: `a"`
            orders.yaml:10:3: `topic` is missing under sources.kafka
            orders.yaml:19:22: interval_ms and max_count may not both be 0: no batch would ever end
        "#]],
    );
}

#[test]
fn one_target_and_one_source() {
    check(
        &[("- gpdb:", "- gpdb: {}\n- gpdb:"), ("- kafka:", "- rabbitmq: {}\n- kafka:")],
        expect![[r#"
            orders.yaml:3:3: `database` is missing under targets.gpdb
            orders.yaml:3:3: `user` is missing under targets.gpdb
            orders.yaml:3:3: `host` is missing under targets.gpdb
            orders.yaml:3:3: `port` is missing under targets.gpdb
            orders.yaml:3:3: `tables` is missing under targets.gpdb
            orders.yaml:4:3: a second gpdb among the targets: a job has one (make it a job of its own)
            orders.yaml:12:3: rabbitmq is no source of this program, which loads Kafka topics
        "#]],
    );
    check(
        &[("- kafka:", "- kafka: {topic: b}\n- kafka:")],
        expect![[r#"
        orders.yaml:11:3: `brokers` is missing under sources.kafka
        orders.yaml:11:3: `value_content` is missing under sources.kafka
        orders.yaml:12:3: a second kafka among the sources: a job has one (make it a job of its own)
    "#]],
    );
    check(
        &[("sources:", "source:")],
        expect![[r#"
        orders.yaml:10:1: unknown key `source` at the top level (did you mean `sources`?)
    "#]],
    );
    check(
        &[("- kafka:", "- kafak:")],
        expect![[r#"
        orders.yaml:11:3: unknown key `kafak` under entry 1 of sources (did you mean `kafka`?)
    "#]],
    );
    check(
        &[("version: v3\n", "")],
        expect![[r#"
        orders.yaml:1:1: `version` is missing
    "#]],
    );
    check(
        &[("version: v3", "version: 2")],
        expect![[r#"
        orders.yaml:1:10: `version` must be `v3`, not `2`
    "#]],
    );
    expect![[r#"
        orders.yaml:1:1: `targets` is missing
        orders.yaml:1:1: `sources` is missing
    "#]]
    .assert_eq(&complaints("version: v3\n"));
    expect![[r#"
        orders.yaml:3:3: `database` is missing under targets.gpdb
        orders.yaml:3:3: `user` is missing under targets.gpdb
        orders.yaml:3:3: `host` is missing under targets.gpdb
        orders.yaml:3:3: `port` is missing under targets.gpdb
        orders.yaml:3:3: `tables` is missing under targets.gpdb
        orders.yaml:5:3: `brokers` is missing under sources.kafka
        orders.yaml:5:3: `topic` is missing under sources.kafka
        orders.yaml:5:3: `value_content` is missing under sources.kafka
    "#]]
    .assert_eq(&complaints("version: v3\ntargets:\n- gpdb: {}\nsources:\n- kafka:\n"));
    expect![[r#"
        orders.yaml:2:10: `targets` must be a list, not a block of keys
        orders.yaml:3:11: entry 1 of sources must be a block of keys, not `kafka`
        orders.yaml:4:9: option must be a block of keys, not a list
    "#]]
    .assert_eq(&complaints("version: v3\ntargets: {gpdb: 1}\nsources: [kafka]\noption: []\n"));
}

#[test]
fn contents_of_the_wrong_shape() {
    check(
        &[("      csv:", "      json: {}\n      csv:")],
        expect![[r#"
        orders.yaml:15:7: a second format: a content has one
    "#]],
    );
    check(
        &[("      csv:", "      jsn:")],
        expect![[r#"
            orders.yaml:15:7: unknown key `jsn` under sources.kafka.value_content (did you mean `json`?)
        "#]],
    );
    check(
        &[("value_content:\n      csv:", "value_content: {}\n    x:\n      csv:")],
        expect![[r#"
            orders.yaml:14:5: sources.kafka.value_content must name a format: avro, binary, csv, custom, delimited, json, protobuf
            orders.yaml:15:5: unknown key `x` under sources.kafka
        "#]],
    );
    check(
        &[("        columns:", "        column: {name: a, type: b}\n        columns:")],
        expect![[r#"
        orders.yaml:16:9: `columns` and `column` say the same: leave one out
    "#]],
    );
    check(
        &[("        columns:", "        colums:")],
        expect![[r#"
        orders.yaml:16:9: unknown key `colums` under sources.kafka.value_content.csv (did you mean `columns`?)
    "#]],
    );
}

#[test]
fn tables_and_modes_of_the_wrong_shape() {
    check(
        &[("    - table: orders", "    - table: orders\n      mode: merge")],
        expect![[r#"
        orders.yaml:10:13: entry 1 of targets.gpdb.tables.mode must be a block of keys, not `merge`
    "#]],
    );
    check(
        &[("    - table: orders", "    - table: orders\n      mode: {}")],
        expect![[r#"
        orders.yaml:10:7: mode must say one of insert, update and merge
    "#]],
    );
    check(
        &[("    - table: orders", "    - table: orders\n      mode: {upsert: {}}")],
        expect![[r#"
        orders.yaml:10:14: unknown key `upsert` under entry 1 of targets.gpdb.tables.mode (did you mean `insert`?)
    "#]],
    );
    check(
        &[("    - table: orders", "    - orders")],
        expect![[r#"
            orders.yaml:9:7: entry 1 of targets.gpdb.tables must be a block of keys, not `orders`
        "#]],
    );
    check(
        &[("    tables:\n    - table: orders\n", "    tables: orders\n")],
        expect![[r#"
            orders.yaml:8:13: `tables` must be a list, not `orders`
        "#]],
    );
    check(
        &[("    tables:\n    - table: orders\n", "")],
        expect![[r#"
        orders.yaml:3:3: `tables` is missing under targets.gpdb
    "#]],
    );
    check(
        &[("    value_content:\n      csv:\n        columns:\n        - name: id\n          type: int\n", "")],
        expect![[r#"
            orders.yaml:11:3: `value_content` is missing under sources.kafka
        "#]],
    );
}

#[test]
fn what_is_to_come_is_refused_by_name() {
    check(
        &[
            (
                "    - table: orders",
                "    - table: orders\n      mode: {update: {match_columns: [a], update_columns: [b]}}\n    - table: other\n      transformer: {transform: f, properties: {a: 1}, columns: [a]}",
            ),
            (
                "csv:\n        columns:\n        - name: id\n          type: int",
                "avro: {schema_url: ['http://a', 'http://b'], source_column_name: j, bytes_to_base64: false}\n    key_content:\n      custom: {name: f, options: [a=b], columns: [{name: k, type: int}]}\n    encoding: latin1\n    transformer: {path: a.wasm, transform: f}",
            ),
            (
                "    task:",
                "    consistency: none\n    save_failing_batch: true\n    task:\n      window_size: 5\n      window_statement: select 1\n      prepare_statement: select 2\n      teardown_statement: select 3",
            ),
            ("sources:", "option:\n  schedule: {retry_interval: 5m}\n  alert: {command: mail}\nsources:"),
        ],
        expect![[r#"
            orders.yaml:3:3: format custom is for value_content, not for key_content
        "#]],
    );
}
