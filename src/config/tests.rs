//! Whole files, right and wrong: what each means, and what is said about it.

use std::path::Path;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use crate::config::{Job, Refusal, Variables, parse, render};

const REFERENCE: &str = include_str!("reference.yaml");

fn parsed(text: &str) -> Result<Job, Refusal> {
    parse(Path::new("orders.yaml"), text.as_bytes().to_vec(), &Variables::new())
}

/// A job in as few lines as it can have; `more` is for the places marked with names.
fn file(edits: &[(&str, &str)]) -> String {
    let mut text = "\
DATABASE: testdb
USER: gpadmin
HOST: mdw
PORT: 5432
VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: localhost:9092
      TOPIC: orders
    VALUE:
      COLUMNS:
        - NAME: id
          TYPE: int
      FORMAT: csv
  OUTPUT:
    TABLE: orders
  COMMIT:
    MINIMAL_INTERVAL: 2000
"
    .to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the file");
        text = text.replacen(from, to, 1);
    }
    text
}

fn complaints(text: &str) -> String {
    match parsed(text) {
        Ok(job) => {
            let refusal = Refusal { path: "orders.yaml".into(), text: text.to_owned(), problems: job.warnings };
            format!("fine\n{}", render(&refusal, false, false))
        }
        Err(refusal) => render(&refusal, false, false),
    }
}

fn check(edits: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&complaints(&file(edits)));
}

fn means(text: &str, expected: Expect) {
    expected.assert_debug_eq(&parsed(text).map_err(|refusal| render(&refusal, false, false)));
}

#[test]
fn the_least_file_is_right() {
    check(
        &[],
        expect![[r#"
        fine
    "#]],
    );
}

#[test]
fn t1_csv() {
    means(
        include_str!("samples/t1_csv.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "testdb",
                },
                source: Source {
                    brokers: "localhost:9092",
                    topic: "topic_for_gpkafka",
                    partitions: None,
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Csv(
                        Csv {
                            delimiter: 44,
                            quote: 34,
                            escape: 34,
                            null_string: "",
                            fill_missing_fields: false,
                            force_not_null: [],
                        },
                    ),
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "cust_id",
                                    ),
                                ),
                                sql_type: "int",
                            },
                            SourceColumn {
                                name: None,
                                sql_type: "int",
                            },
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "expenses",
                                    ),
                                ),
                                sql_type: "decimal(9,2)",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "data_from_kafka",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "customer_id",
                        ),
                        expression: "cust_id",
                    },
                    Mapping {
                        column: Ident(
                            "expenses",
                        ),
                        expression: "expenses",
                    },
                    Mapping {
                        column: Ident(
                            "tax_due",
                        ),
                        expression: "expenses * .0725",
                    },
                ],
                filter: None,
                error_limit: Records(
                    125,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        2s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t3_whole_json() {
    means(
        include_str!("samples/t3_whole_json.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "testdb",
                },
                source: Source {
                    brokers: "localhost:9092",
                    topic: "topic_json",
                    partitions: None,
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Json,
                    columns: None,
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "single_json_column",
                    ),
                },
                mapping: [],
                filter: None,
                error_limit: Records(
                    10,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        1s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t4_json_column() {
    means(
        include_str!("samples/t4_json_column.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "test",
                },
                source: Source {
                    brokers: "kafkahost:9092",
                    topic: "simplejson",
                    partitions: None,
                    fallback_offset: Some(
                        Earliest,
                    ),
                    properties: {},
                },
                value: Value {
                    format: Json,
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "c1",
                                    ),
                                ),
                                sql_type: "json",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "simplejson",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "data",
                        ),
                        expression: "c1",
                    },
                ],
                filter: None,
                error_limit: Records(
                    0,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        2s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t5_json_fields() {
    means(
        include_str!("samples/t5_json_fields.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "test",
                },
                source: Source {
                    brokers: "kafkahost:9092",
                    topic: "sensor",
                    partitions: None,
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Json,
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "data",
                                    ),
                                ),
                                sql_type: "json",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "vehicles_sensor_data",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "device",
                        ),
                        expression: "data->>'device'",
                    },
                    Mapping {
                        column: Ident(
                            "humidity",
                        ),
                        expression: "(data->>'humidity')::float",
                    },
                    Mapping {
                        column: Ident(
                            "temperature",
                        ),
                        expression: "(data->>'temperature')::float",
                    },
                    Mapping {
                        column: Ident(
                            "time",
                        ),
                        expression: "(data->>'time')::timestamp",
                    },
                ],
                filter: None,
                error_limit: Records(
                    0,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        2s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t6_json_renamed() {
    means(
        include_str!("samples/t6_json_renamed.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "testdb",
                },
                source: Source {
                    brokers: "localhost:9092",
                    topic: "topic_json_gpkafka",
                    partitions: None,
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Json,
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "jdata",
                                    ),
                                ),
                                sql_type: "json",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "json_from_kafka",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "customer_id",
                        ),
                        expression: "(jdata->>'cust_id')::int",
                    },
                    Mapping {
                        column: Ident(
                            "month",
                        ),
                        expression: "(jdata->>'month')::int",
                    },
                    Mapping {
                        column: Ident(
                            "amount_paid",
                        ),
                        expression: "(jdata->>'expenses')::decimal",
                    },
                ],
                filter: None,
                error_limit: Records(
                    10,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        2s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t8_binary() {
    means(
        include_str!("samples/t8_binary.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "test",
                },
                source: Source {
                    brokers: "kafkahost:9092",
                    topic: "binary-message",
                    partitions: None,
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Binary,
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "c1",
                                    ),
                                ),
                                sql_type: "bytea",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "binary_message",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "len",
                        ),
                        expression: "length(c1)",
                    },
                    Mapping {
                        column: Ident(
                            "content",
                        ),
                        expression: "c1",
                    },
                ],
                filter: None,
                error_limit: Records(
                    0,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        2s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t9_json_lines() {
    means(
        include_str!("samples/t9_json_lines.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "test",
                },
                source: Source {
                    brokers: "kafkahost:9092",
                    topic: "mdjson",
                    partitions: Some(
                        Partitions(
                            [
                                2..=2,
                                5..=8,
                                10..=10,
                            ],
                        ),
                    ),
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Jsonl {
                        newline: "\n",
                    },
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "c1",
                                    ),
                                ),
                                sql_type: "json",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "simplejson",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "data",
                        ),
                        expression: "c1",
                    },
                ],
                filter: None,
                error_limit: Records(
                    0,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        2s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn t18_filter() {
    means(
        include_str!("samples/t18_filter.yaml"),
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: None,
                    database: "test",
                },
                source: Source {
                    brokers: "kafkahost:9092",
                    topic: "filtered",
                    partitions: None,
                    fallback_offset: None,
                    properties: {},
                },
                value: Value {
                    format: Csv(
                        Csv {
                            delimiter: 44,
                            quote: 34,
                            escape: 34,
                            null_string: "",
                            fill_missing_fields: false,
                            force_not_null: [],
                        },
                    ),
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "id",
                                    ),
                                ),
                                sql_type: "int",
                            },
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "t_date",
                                    ),
                                ),
                                sql_type: "timestamp",
                            },
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "comment",
                                    ),
                                ),
                                sql_type: "text",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "test_filter_table",
                    ),
                },
                mapping: [],
                filter: Some(
                    "now()::date - t_date::date < 30",
                ),
                error_limit: Percent(
                    10,
                ),
                metadata_schema: None,
                commit: Commit {
                    max_row: Some(
                        1000,
                    ),
                    minimal_interval: Some(
                        5s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: None,
                    port: None,
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn the_reference_is_a_job() {
    means(
        REFERENCE,
        expect![[r#"
        Ok(
            Job {
                connection: Connection {
                    host: "mdw",
                    port: 5432,
                    user: "gpadmin",
                    password: Some(
                        Password(…),
                    ),
                    database: "testdb",
                },
                source: Source {
                    brokers: "kafka1:9092,kafka2:9092",
                    topic: "orders",
                    partitions: Some(
                        Partitions(
                            [
                                0..=0,
                                2..=5,
                                9..=9,
                            ],
                        ),
                    ),
                    fallback_offset: Some(
                        Earliest,
                    ),
                    properties: {
                        "api.version.request": "true",
                        "broker.version.fallback": "0.10.0",
                        "security.protocol": "plaintext",
                    },
                },
                value: Value {
                    format: Csv(
                        Csv {
                            delimiter: 44,
                            quote: 34,
                            escape: 34,
                            null_string: "",
                            fill_missing_fields: false,
                            force_not_null: [
                                Ident(
                                    "id",
                                ),
                                Ident(
                                    "amount",
                                ),
                            ],
                        },
                    ),
                    columns: Some(
                        [
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "id",
                                    ),
                                ),
                                sql_type: "bigint",
                            },
                            SourceColumn {
                                name: None,
                                sql_type: "text",
                            },
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "Comment",
                                    ),
                                ),
                                sql_type: "text",
                            },
                            SourceColumn {
                                name: Some(
                                    Ident(
                                        "amount",
                                    ),
                                ),
                                sql_type: "decimal(9,2)",
                            },
                        ],
                    ),
                },
                target: TableName {
                    schema: Ident(
                        "public",
                    ),
                    table: Ident(
                        "orders",
                    ),
                },
                mapping: [
                    Mapping {
                        column: Ident(
                            "id",
                        ),
                        expression: "id",
                    },
                    Mapping {
                        column: Ident(
                            "amount",
                        ),
                        expression: "amount",
                    },
                    Mapping {
                        column: Ident(
                            "tax_due",
                        ),
                        expression: "amount * .0725",
                    },
                    Mapping {
                        column: Ident(
                            "note",
                        ),
                        expression: "\"Comment\"",
                    },
                ],
                filter: Some(
                    "(amount > 0\n) AND (id IS NOT NULL\n)",
                ),
                error_limit: Records(
                    25,
                ),
                metadata_schema: Some(
                    Ident(
                        "gpkafka",
                    ),
                ),
                commit: Commit {
                    max_row: None,
                    minimal_interval: Some(
                        5s,
                    ),
                    idle: Off,
                },
                callback: Callback {
                    host: Some(
                        "etl1",
                    ),
                    port: Some(
                        8080,
                    ),
                },
                warnings: [],
            },
        )
    "#]],
    );
}

#[test]
fn unknown_keys_at_every_level() {
    check(
        &[
            ("USER", "USR"),
            ("TOPIC: orders", "TOPIC: orders\n      OFFSET: 5"),
            ("MINIMAL_INTERVAL", "MINIMAL_INTERVALL"),
            ("NAME: id", "NAME: id\n          TYP: int"),
            ("    TABLE: orders", "    TABLE: orders\n    ERROR_LIMIT: 5"),
        ],
        expect![[r#"
            orders.yaml:2:1: unknown key `USR` at the top level (did you mean `USER`?)
            orders.yaml:11:7: unknown key `OFFSET` under KAFKA.INPUT.SOURCE
            orders.yaml:15:11: unknown key `TYP` under entry 1 of KAFKA.INPUT.VALUE.COLUMNS (did you mean `TYPE`?)
            orders.yaml:20:5: unknown key `ERROR_LIMIT` under KAFKA.OUTPUT (`ERROR_LIMIT` belongs under KAFKA.INPUT)
            orders.yaml:22:5: unknown key `MINIMAL_INTERVALL` under KAFKA.COMMIT (did you mean `MINIMAL_INTERVAL`?)
        "#]],
    );
}

#[test]
fn lower_case_keys() {
    check(
        &[("TOPIC:", "topic:"), ("DATABASE", "database")],
        expect![[r#"
        orders.yaml:1:1: unknown key `database` at the top level (did you mean `DATABASE`?)
        orders.yaml:10:7: unknown key `topic` under KAFKA.INPUT.SOURCE (did you mean `TOPIC`?)
    "#]],
    );
}

#[test]
fn missing_keys() {
    check(
        &[
            ("HOST: mdw\n", ""),
            ("      TOPIC: orders\n", ""),
            ("      FORMAT: csv\n", ""),
            ("          TYPE: int\n", ""),
        ],
        expect![[r#"
            orders.yaml:1:1: `HOST` is missing
            orders.yaml:7:5: `TOPIC` is missing under KAFKA.INPUT.SOURCE
            orders.yaml:9:5: `FORMAT` is missing under KAFKA.INPUT.VALUE
            orders.yaml:11:11: `TYPE` is missing under entry 1 of KAFKA.INPUT.VALUE.COLUMNS
        "#]],
    );
    check(
        &[("  OUTPUT:\n    TABLE: orders\n", "")],
        expect![[r#"
        orders.yaml:6:1: `OUTPUT` is missing under KAFKA
    "#]],
    );
    check(
        &[("      COLUMNS:\n        - NAME: id\n          TYPE: int\n", "")],
        expect![[r#"
        orders.yaml:11:5: `COLUMNS` is missing under KAFKA.INPUT.VALUE
    "#]],
    );
}

#[test]
fn ports() {
    for port in ["0", "65536", "-1", "5432.5", "many", "[5432]", "{a: 1}", "true", ""] {
        let said = complaints(&file(&[("PORT: 5432", &format!("PORT: {port}"))]));
        assert!(said.starts_with("orders.yaml:4:") && said.lines().count() == 1, "{port}: {said}");
    }
    check(
        &[("5432", "70000")],
        expect![[r#"
        orders.yaml:4:7: `PORT` must be a port from 1 to 65535, not `70000`
    "#]],
    );
    check(
        &[("5432", "[1]")],
        expect![[r#"
        orders.yaml:4:7: `PORT` must be a port from 1 to 65535, not a list
    "#]],
    );
    check(
        &[("5432", "'5432'")],
        expect![[r#"
        fine
    "#]],
    );
}

#[test]
fn wrong_shapes() {
    check(
        &[("    SOURCE:\n      BROKERS: localhost:9092\n      TOPIC: orders\n", "    SOURCE: kafka\n")],
        expect![[r#"
        orders.yaml:8:13: KAFKA.INPUT.SOURCE must be a block of keys, not `kafka`
    "#]],
    );
    check(
        &[("      COLUMNS:\n        - NAME: id\n          TYPE: int\n", "      COLUMNS: id int\n")],
        expect![[r#"
        orders.yaml:12:16: `COLUMNS` must be a list, not `id int`
    "#]],
    );
    check(
        &[("        - NAME: id\n          TYPE: int\n", "        - id int\n")],
        expect![[r#"
        orders.yaml:13:11: entry 1 of KAFKA.INPUT.VALUE.COLUMNS must be a block of keys, not `id int`
    "#]],
    );
    check(
        &[("TABLE: orders", "TABLE:\n      - orders")],
        expect![[r#"
        orders.yaml:18:7: `TABLE` must be a text, not a list
    "#]],
    );
    expect![[r#"
        orders.yaml:1:1: the file must be a block of keys, not a list
    "#]]
    .assert_eq(&complaints("- a\n- b\n"));
    expect![[r#"
        orders.yaml:1:1: the file must be a block of keys, not `just words`
    "#]]
    .assert_eq(&complaints("just words\n"));
}

#[test]
fn duplicates() {
    check(
        &[
            ("HOST: mdw", "HOST: mdw\nHOST: sdw"),
            ("          TYPE: int\n", "          TYPE: int\n        - NAME: ID\n          TYPE: int\n"),
            ("TABLE: orders", "TABLE: orders\n    MAPPING:\n      a: id\n      A: id + 1"),
        ],
        expect![[r#"
            orders.yaml:4:1: `HOST` is given twice, first in line 3
            orders.yaml:16:17: `NAME` is given to two columns: "id"
            orders.yaml:23:7: MAPPING gives column "a" two expressions, the second `id + 1`
        "#]],
    );
}

#[test]
fn no_file_at_all() {
    let refused =
        |path: &str| render(&crate::config::load(Path::new(path), &Variables::new()).unwrap_err(), false, false);
    expect![[r#"
        no/such.yaml: no such file
    "#]]
    .assert_eq(&refused("no/such.yaml"));
    expect![[r#"
        /: cannot read the file: Is a directory (os error 21)
    "#]]
    .assert_eq(&refused("/"));
    for (bytes, expected) in [
        (
            &b""[..],
            expect![[r#"
            orders.yaml: the file is empty
        "#]],
        ),
        (
            b"  \n\n",
            expect![[r#"
            orders.yaml: the file is empty
        "#]],
        ),
        (
            b"# only words\n",
            expect![[r#"
            orders.yaml:2:1: not YAML: invalid type: Option value, expected YAML
        "#]],
        ),
        (
            b"---\n",
            expect![[r#"
            orders.yaml:1:1: the file holds nothing but comments
        "#]],
        ),
        (
            b"A: 1\nB: \xff\n",
            expect![[r#"
            orders.yaml:2:4: not UTF-8: this byte is part of no character
        "#]],
        ),
    ] {
        let refusal = parse(Path::new("orders.yaml"), bytes.to_vec(), &Variables::new()).unwrap_err();
        expected.assert_eq(&render(&refusal, false, false));
    }
}

#[test]
fn not_yaml() {
    for (text, expected) in [
        (
            "A: b: c\n",
            expect![[r#"
            orders.yaml:1:5: not YAML: mapping values are not allowed in this context
        "#]],
        ),
        (
            "A: [1, 2\nB: 3\n",
            expect![[r#"
            orders.yaml:2:2: not YAML: did not find expected ',' or ']'
        "#]],
        ),
        (
            "A:\n\tB: 1\n",
            expect![[r#"
            orders.yaml:2:1: a tab indents this line: YAML wants spaces
        "#]],
        ),
        (
            "A: 'x\n",
            expect![[r#"
            orders.yaml:2:1: not YAML: found unexpected end of stream
        "#]],
        ),
        (
            "A: 1\n  B: 2\n",
            expect![[r#"
            orders.yaml:2:4: not YAML: mapping values are not allowed in this context
        "#]],
        ),
        (
            "A: *b\n",
            expect![[r#"
            orders.yaml:1:4: not YAML: unknown anchor
        "#]],
        ),
        (
            "DATABASE: a\n---\nDATABASE: b\n",
            expect![[r#"
            orders.yaml:2:1: a second document begins here: a job file is one
        "#]],
        ),
        (
            "A: @b\n",
            expect![[r#"
            orders.yaml:1:4: not YAML: found character that cannot start any token
        "#]],
        ),
    ] {
        expected.assert_eq(&complaints(text));
    }
}

#[test]
fn columns_of_formats() {
    let two = "        - NAME: other\n          TYPE: json\n      FORMAT: json";
    check(
        &[("      FORMAT: csv", two)],
        expect![[r#"
        orders.yaml:12:7: FORMAT json makes one column, of type json or jsonb, not 2
    "#]],
    );
    check(
        &[("csv", "json")],
        expect![[r#"
        orders.yaml:13:11: the column of FORMAT json has type json or jsonb, not `int`
    "#]],
    );
    check(
        &[("csv", "binary")],
        expect![[r#"
        orders.yaml:13:11: the column of FORMAT binary has type bytea, not `int`
    "#]],
    );
    check(
        &[("NAME: id", "NAME: __IGNORED__")],
        expect![[r#"
        orders.yaml:13:11: all COLUMNS are ignored
    "#]],
    );
    check(
        &[("csv", "delimited")],
        expect![[r#"
        orders.yaml:11:5: `DELIMITED_OPTION` is missing under KAFKA.INPUT.VALUE
    "#]],
    );
    check(
        &[("csv", "xml")],
        expect![[r#"
        orders.yaml:15:15: `FORMAT` must be avro, binary, csv, custom, delimited, json, jsonl or protobuf, not `xml`
    "#]],
    );
    check(
        &[("csv", "jsn")],
        expect![[r#"
        orders.yaml:15:15: `FORMAT` must be avro, binary, csv, custom, delimited, json, jsonl or protobuf, not `jsn` (did you mean `json`?)
    "#]],
    );
}

#[test]
fn options_of_formats() {
    let with = |format: &str, option: &str| file(&[("FORMAT: csv", &format!("FORMAT: {format}\n      {option}"))]);
    for (text, expected) in [
        (
            with("csv", "CSV_OPTION: {DELIMITER: '\\t', QUOTE: '\\x01', FORCE_NOT_NULL: id}"),
            expect![[r#"
            fine
        "#]],
        ),
        (
            with("csv", "CSV_OPTION: {DELIMITER: ab, QUOTE: '\\q', FORCE_NOT_NULL: 'id, oid'}"),
            expect![[r#"
            orders.yaml:16:7: FORCE_NOT_NULL names "oid", which is none of the COLUMNS
            orders.yaml:16:31: `DELIMITER` must be one ASCII character, or an escape of one like `\t` or `\x01`, not `ab`
            orders.yaml:16:42: `QUOTE` has an escape in it that nobody knows: `\q`
        "#]],
        ),
        (
            with("csv", "CSV_OPTION: {DELIMITER: '\"'}"),
            expect![[r#"
            orders.yaml:16:7: DELIMITER and QUOTE of CSV_OPTION may not be the same character
        "#]],
        ),
        (
            with("csv", "DELIMITED_OPTION: {DELIMITER: '|'}"),
            expect![[r#"
            fine
            orders.yaml:16:7: DELIMITED_OPTION has no effect with FORMAT csv
        "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '|', QUOTE: '\"'}"),
            expect![[r#"
            orders.yaml:16:7: DELIMITED_OPTION has a QUOTE without an ESCAPE
        "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '||', EOL_PREFIX: '|', QUOTE: '\"', ESCAPE: '\\'}"),
            expect![[r#"
                orders.yaml:16:37: a DELIMITER of several bytes is not yet supported
                orders.yaml:16:43: DELIMITED_OPTION.EOL_PREFIX is not yet supported
                orders.yaml:16:60: DELIMITED_OPTION.QUOTE is not yet supported
                orders.yaml:16:72: DELIMITED_OPTION.ESCAPE is not yet supported
            "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITOR: '|'}"),
            expect![[r#"
            orders.yaml:16:26: unknown key `DELIMITOR` under KAFKA.INPUT.VALUE.DELIMITED_OPTION (did you mean `DELIMITER`?)
        "#]],
        ),
        (
            with("avro", "AVRO_OPTION: {SCHEMA_REGISTRY_ADDR: registry}"),
            expect![[r#"
            orders.yaml:13:11: the column of FORMAT avro has type json or jsonb, not `int`
            orders.yaml:16:43: `SCHEMA_REGISTRY_ADDR` must be URLs like `http://registry:8081`, parted by commas, not `registry`
        "#]],
        ),
        (
            with("custom", "CUSTOM_OPTION: {PARAMSTR: a}"),
            expect![[r#"
            orders.yaml:16:7: `NAME` is missing under KAFKA.INPUT.VALUE.CUSTOM_OPTION
        "#]],
        ),
    ] {
        expected.assert_eq(&complaints(&text));
    }
}

#[test]
fn sources() {
    check(
        &[
            ("localhost:9092", "a:9092,, b:port, c d"),
            ("TOPIC: orders", "TOPIC: a,b\n      PARTITIONS: 2, 5\n      FALLBACK_OFFSET: earlyest"),
        ],
        expect![[r#"
            orders.yaml:9:16: `BROKERS` has a broker `` without a host
            orders.yaml:10:14: `TOPIC` must be one topic, not `a,b`
            orders.yaml:11:19: `PARTITIONS` must be partition numbers in parentheses like `(2, 5...7, 10)`, not `2, 5`
            orders.yaml:12:24: `FALLBACK_OFFSET` must be earliest or latest, not `earlyest` (did you mean `earliest`?)
        "#]],
    );
    check(
        &[("TOPIC: orders", "TOPIC: orders\n      PARTITIONS: (7...5)\n      ENCRYPTION: yes")],
        expect![[r#"
        orders.yaml:11:19: `PARTITIONS` has a range that runs backwards: `7...5`
    "#]],
    );
}

#[test]
fn batches() {
    check(
        &[("2000", "-1")],
        expect![[r#"
        orders.yaml:19:23: `MINIMAL_INTERVAL` must be a number of milliseconds, 0 or more, not `-1`
    "#]],
    );
    check(
        &[("2000", "2s")],
        expect![[r#"
        orders.yaml:19:23: `MINIMAL_INTERVAL` must be a number of milliseconds, 0 or more, not `2s`
    "#]],
    );
    check(
        &[("2000", "0")],
        expect![[r#"
        orders.yaml:19:23: MINIMAL_INTERVAL and MAX_ROW may not both be 0: no batch would ever end
    "#]],
    );
    check(
        &[("2000", "0\n    MAX_ROW: 10")],
        expect![[r#"
        fine
    "#]],
    );
    check(
        &[("2000", "1\n    IDLE_DURATION: -2\n    CONSISTENCY: exactly-once")],
        expect![[r#"
        orders.yaml:20:20: `IDLE_DURATION` must be a number of milliseconds, 0 (off) or -1 (never stop), not `-2`
        orders.yaml:21:18: `CONSISTENCY` must be strong, at-least, at-most or none, not `exactly-once`
    "#]],
    );
    check(
        &[("2000", "1\n  POLL:\n    BATCHSIZE: 64")],
        expect![[r#"
        fine
        orders.yaml:20:3: POLL has no effect
    "#]],
    );
}

#[test]
fn limits() {
    for (limit, is_right) in [
        ("0", true),
        ("1", true),
        ("5%", true),
        ("100 %", true),
        ("101%", false),
        ("-1", false),
        ("1.5%", false),
        ("few", false),
    ] {
        let said = complaints(&file(&[("  OUTPUT:", &format!("    ERROR_LIMIT: {limit}\n  OUTPUT:"))]));
        assert_eq!(said == "fine\n", is_right, "{limit}: {said}");
    }
    check(
        &[("  OUTPUT:", "    ERROR_LIMIT: 101%\n  OUTPUT:")],
        expect![[r#"
        orders.yaml:16:18: `ERROR_LIMIT` must be a number of records or a whole percentage up to `100%`, not `101%`
    "#]],
    );
}

#[test]
fn tables_and_mappings() {
    check(
        &[("TABLE: orders", "TABLE: public.orders")],
        expect![[r#"
        orders.yaml:17:12: `TABLE` is one name, not `public.orders` (write `SCHEMA: public` and `TABLE: orders`)
    "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: '\"Orders'")],
        expect![[r#"
        orders.yaml:17:12: `TABLE` has a double quote too many or too few: `"Orders`
    "#]],
    );
    check(
        &[(
            "TABLE: orders",
            "TABLE: orders\n    MAPPING:\n      - NAME: a\n        EXPRESSION: ''\n      - NAME: a\n      - b: id",
        )],
        expect![[r#"
            orders.yaml:20:21: the expression of "a" must be SQL, and not empty
            orders.yaml:21:9: `EXPRESSION` is missing under entry 2 of KAFKA.OUTPUT.MAPPING
            orders.yaml:22:9: unknown key `b` under entry 3 of KAFKA.OUTPUT.MAPPING
            orders.yaml:22:9: `NAME` is missing under entry 3 of KAFKA.OUTPUT.MAPPING
            orders.yaml:22:9: `EXPRESSION` is missing under entry 3 of KAFKA.OUTPUT.MAPPING
        "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: orders\n    MAPPING:\n      a: id\n      b:\n      c: [1]")],
        expect![[r#"
        orders.yaml:20:7: the expression of "b" must be SQL, and not empty
        orders.yaml:21:10: the expression of "c" must be SQL, and not empty
    "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: orders\n    MAPPING: id")],
        expect![[r#"
        orders.yaml:18:14: `MAPPING` must be a list of NAME and EXPRESSION, or a block of `column: expression`
    "#]],
    );
}

#[test]
fn modes() {
    check(
        &[("TABLE: orders", "TABLE: orders\n    MODE: merge")],
        expect![[r#"
        orders.yaml:16:3: `MATCH_COLUMNS` is missing under KAFKA.OUTPUT
        orders.yaml:16:3: `UPDATE_COLUMNS` is missing under KAFKA.OUTPUT
    "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: orders\n    MODE: merge\n    MATCH_COLUMNS: [id]\n    UPDATE_COLUMNS: [a]")],
        expect![[r#"
            orders.yaml:18:11: MODE merge is not yet supported
        "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: orders\n    MODE: upsert")],
        expect![[r#"
        orders.yaml:18:11: `MODE` must be insert, update or merge, not `upsert` (did you mean `insert`?)
    "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: orders\n    MATCH_COLUMNS: [id]")],
        expect![[r#"
        fine
        orders.yaml:18:5: MATCH_COLUMNS has no effect with MODE insert
    "#]],
    );
}

#[test]
fn versions() {
    check(
        &[("VERSION: 2\n", "")],
        expect![[r#"
        orders.yaml:10:5: `VALUE` needs `VERSION: 2` (add `VERSION: 2` at the top level)
    "#]],
    );
    check(
        &[("VERSION: 2", "VERSON: 2")],
        expect![[r#"
        orders.yaml:5:1: unknown key `VERSON` at the top level (did you mean `VERSION`?)
    "#]],
    );
    check(
        &[("VERSION: 2", "VERSION: 3")],
        expect![[r#"
        orders.yaml:5:10: `VERSION` must be 1 or 2 (a file of version 3 says `version: v3`)
    "#]],
    );
    check(
        &[("VERSION: 2", "version: v3")],
        expect![[r#"
        orders.yaml:5:10: `version: v3` is not yet supported
    "#]],
    );
    check(
        &[(
            "    VALUE:\n      COLUMNS:\n        - NAME: id\n          TYPE: int\n      FORMAT: csv",
            "    FORMAT: csv",
        )],
        expect![[r#"
            orders.yaml:11:5: `FORMAT` belongs under VALUE in version 2 (`KEY`, `VALUE` and `META` each have their own)
        "#]],
    );
}

#[test]
fn what_is_to_come_is_refused_by_name() {
    let key = "    KEY:\n      COLUMNS:\n        - NAME: key\n          TYPE: text\n      FORMAT: avro\n    META:\n      COLUMNS:\n        - NAME: meta\n          TYPE: json\n      FORMAT: json\n    ENCODING: latin1\n    TRANSFORMER:\n      PATH: a.so\n      TRANSFORM: f\n  OUTPUT:";
    let rest = "MINIMAL_INTERVAL: 2000\n    CONSISTENCY: at-least\n    SAVE_FAILING_BATCH: true\n    RECOVER_FAILING_BATCH: false\n  TASK:\n    POST_BATCH_SQL: SELECT 1\n    BATCH_INTERVAL: 5\nSCHEDULE:\n  RETRY_INTERVAL: 5m\nALERT:\n  COMMAND: mail\n  TIMEOUT: -1s";
    let edits = [
        ("  OUTPUT:", key),
        ("MINIMAL_INTERVAL: 2000", rest),
        ("USER: gpadmin", "USER: gpadmin\nPASSWORD: SHADOW:ABC"),
    ];
    check(
        &edits,
        expect![[r#"
        orders.yaml:3:11: a `SHADOW:` password is not yet supported
        orders.yaml:17:5: KEY is not yet supported
        orders.yaml:21:15: FORMAT avro is not yet supported
        orders.yaml:22:5: META is not yet supported
        orders.yaml:27:5: ENCODING is not yet supported
        orders.yaml:28:5: TRANSFORMER is not yet supported
        orders.yaml:35:18: CONSISTENCY at-least is not yet supported
        orders.yaml:36:5: SAVE_FAILING_BATCH is not yet supported
        orders.yaml:38:3: TASK is not yet supported
        orders.yaml:41:1: SCHEDULE is not yet supported
        orders.yaml:43:1: ALERT is not yet supported
    "#]],
    );
}

#[test]
fn mistakes_come_before_what_is_to_come() {
    let rest = "MINIMAL_INTERVAL: 2000\nSCHEDULE:\n  RETRY_INTERVAL: 5 minutes\n  MAX_RETRY: 1\n  QUIT_AT_EOF_AFTER: 25:00\nALERT:\n  TIMEOUT: 10";
    check(
        &[("MINIMAL_INTERVAL: 2000", rest)],
        expect![[r#"
        orders.yaml:21:19: `RETRY_INTERVAL` must be a duration with its unit (ms, s, m, h or d), like `300s`, not `5 minutes`
        orders.yaml:22:3: unknown key `MAX_RETRY` under SCHEDULE (did you mean `MAX_RETRIES`?)
        orders.yaml:23:22: `QUIT_AT_EOF_AFTER` must be a time of day like `23:30:00`, not `25:00`
        orders.yaml:24:1: `COMMAND` is missing under ALERT
        orders.yaml:25:12: `TIMEOUT` must be a duration with its unit (ms, s, m, h or d), like `300s`, not `10`
    "#]],
    );
    check(
        &[("  COMMIT:", "  OUTPUTS:\n    - TABLE: a\n    - MODE: insert\n  COMMIT:")],
        expect![[r#"
        orders.yaml:18:3: KAFKA has both OUTPUT and OUTPUTS
        orders.yaml:20:7: `TABLE` is missing under entry 2 of KAFKA.OUTPUTS
    "#]],
    );
}

#[test]
fn other_sources_and_tags() {
    check(
        &[("KAFKA:", "FILE:\n  a: 1\nKAFKA:")],
        expect![[r#"
        orders.yaml:6:1: FILE loads files; this program loads Kafka topics
    "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: !name orders")],
        expect![[r#"
        orders.yaml:17:12: `TABLE` must be a text, not a YAML tag (`!…`)
    "#]],
    );
    check(
        &[("DATABASE: testdb", "DATABASE: \"a\\0b\"")],
        expect![[r#"
        orders.yaml:1:11: `DATABASE` holds a NUL byte, which neither SQL nor Kafka's client can take
    "#]],
    );
}

#[test]
fn anchors_stand_where_they_are_written() {
    check(
        &[("DATABASE: testdb", "DATABASE: &name testdb"), ("TABLE: orders", "TABLE: *name\n    SCHEMA: *name")],
        expect![[r#"
            fine
        "#]],
    );
    let columns = "COLUMNS: &columns\n        - NAME: id\n          TYPE: int\n          LENGTH: 4";
    check(
        &[
            ("COLUMNS:\n        - NAME: id\n          TYPE: int", columns),
            ("  OUTPUT:", "    KEY:\n      COLUMNS: *columns\n      FORMAT: csv\n  OUTPUT:"),
        ],
        expect![[r#"
            orders.yaml:13:17: `NAME` is given to two columns: "id"
            orders.yaml:15:11: unknown key `LENGTH` under entry 1 of KAFKA.INPUT.VALUE.COLUMNS
            orders.yaml:15:11: unknown key `LENGTH` under entry 1 of KAFKA.INPUT.KEY.COLUMNS
        "#]],
    );
}

#[test]
fn variables() {
    let text = file(&[
        ("orders", "{{topic}}"),
        ("5432", "{{ port }}"),
        ("TABLE: orders", "TABLE: {{table}}"),
        ("2000", "{{interval}}"),
    ]);
    let said = |given: &[(&str, &str)]| {
        let given = given.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        match parse(Path::new("orders.yaml"), text.clone().into_bytes(), &given) {
            Ok(job) => format!("{} → {} {:?}\n", job.source.topic, job.target, job.warnings),
            Err(refusal) => render(&refusal, false, false) + &render(&refusal, true, false),
        }
    };
    expect![[r#"
        t → "public"."T" [Problem { kind: Warning, line: 1, column: 1, span: 0..0, text: "the file has no {{tabel}} to give a value to", hint: None }]
    "#]].assert_eq(&said(&[
        ("topic", "t"),
        ("port", "1"),
        ("table", "'\"T\"'"),
        ("interval", "1"),
        ("tabel", "x"),
    ]));
    expect![[r#"
        orders.yaml:4:7: no value is given for {{port}} (give it with `-p port=…`)
        orders.yaml:10:14: `TOPIC` must be a topic's name, in which Kafka allows no ` `
        orders.yaml:17:12: no value is given for {{table}} (give it with `-p table=…`)
        orders.yaml:19:23: unknown key `MAXROW` under KAFKA.COMMIT (did you mean `MAX_ROW`?)
        orders.yaml:4:7: no value is given for {{port}}
          |
        4 | PORT: {{ port }}
          |       ^^^^^^^^^^ give it with `-p port=…`
        orders.yaml:10:14: `TOPIC` must be a topic's name, in which Kafka allows no ` `
           |
        10 |       TOPIC: {{topic}}
           |              ^^^^^^^^^
        orders.yaml:17:12: no value is given for {{table}}
           |
        17 |     TABLE: {{table}}
           |            ^^^^^^^^^ give it with `-p table=…`
        orders.yaml:19:23: unknown key `MAXROW` under KAFKA.COMMIT
           |
        19 |     MINIMAL_INTERVAL: {{interval}}
           |                       ^^^^^^^^^^^^ did you mean `MAX_ROW`?
    "#]]
    .assert_eq(&said(&[("topic", "a topic"), ("interval", "1\n    MAXROW: 2")]));
}

#[test]
fn pictures() {
    let text = file(&[
        ("MINIMAL_INTERVAL", "MINIMAL_INTERVALL"),
        ("5432", "70000"),
        ("TABLE: orders", "MODE: |\n      upsert\n      rows"),
        ("USER", "  USER"),
    ]);
    let drawn = |text: &str| render(&parsed(text).unwrap_err(), true, false);
    expect![[r#"
        orders.yaml:2:7: not YAML: mapping values are not allowed in this context
          |
        2 |   USER: gpadmin
          |       ^
    "#]]
    .assert_eq(&drawn(&text));
    let text = file(&[
        ("MINIMAL_INTERVAL", "MINIMAL_INTERVALL"),
        ("5432", "70000"),
        ("TABLE: orders", "MODE: |\n      upsert\n      rows"),
        ("testdb", "[é, 1]"),
    ]);
    expect![[r#"
        orders.yaml:1:11: `DATABASE` must be a text, not a list
          |
        1 | DATABASE: [é, 1]
          |           ^^^^^^
        orders.yaml:4:7: `PORT` must be a port from 1 to 65535, not `70000`
          |
        4 | PORT: 70000
          |       ^^^^^
        orders.yaml:16:3: `TABLE` is missing under KAFKA.OUTPUT
           |
        16 |   OUTPUT:
           |   ^^^^^^
        orders.yaml:18:7: `MODE` must be insert, update or merge, not `upsert…`
           |
        18 |       upsert
           |       ^^^^^^
        orders.yaml:21:5: unknown key `MINIMAL_INTERVALL` under KAFKA.COMMIT
           |
        21 |     MINIMAL_INTERVALL: 2000
           |     ^^^^^^^^^^^^^^^^^ did you mean `MINIMAL_INTERVAL`?
    "#]]
    .assert_eq(&drawn(&text));
    expect![[r#"
        orders.yaml: the file is empty
    "#]]
    .assert_eq(&drawn(""));
    let colored = render(&parsed(&file(&[("TOPIC", "TOPIK")])).unwrap_err(), true, true);
    expect![[r#"
        ^[1morders.yaml:10:7: unknown key `TOPIK` under KAFKA.INPUT.SOURCE^[0m
           ^[1m^[94m|^[0m
        ^[1m^[94m10^[0m ^[1m^[94m|^[0m       TOPIK: orders
           ^[1m^[94m|^[0m       ^[1m^[91m^^^^^^[0m ^[1m^[91mdid you mean `TOPIC`?^[0m
    "#]]
    .assert_eq(&colored.replace('\u{1b}', "^"));
}

#[test]
fn line_breaks_of_other_systems() {
    let text = file(&[("MINIMAL_INTERVAL", "MINIMAL_INTERVALL")]).replace('\n', "\r\n");
    expect![[r#"
        orders.yaml:19:5: unknown key `MINIMAL_INTERVALL` under KAFKA.COMMIT (did you mean `MINIMAL_INTERVAL`?)
    "#]]
    .assert_eq(&complaints(&format!("\u{feff}{text}")));
}
