//! Files that are wrong before any value is looked at: keys, blocks, YAML itself; and how that is drawn.

use super::*;

#[test]
fn unknown_keys_at_every_level() {
    check(
        &[
            ("USER", "USR"),
            ("TOPIC: orders", "TOPIC: orders\n      OFFSET: 5"),
            ("MINIMAL_INTERVAL", "MINIMAL_INTERVALL"),
            ("NAME: id", "NAME: id\n          TYP: int"),
            ("  OUTPUT:", "    DEAD_LETTER: {TABLE: refused}\n  OUTPUT:"),
            ("    TABLE: orders", "    TABLE: orders\n    ERROR_LIMIT: 5"),
        ],
        expect![[r#"
            orders.yaml:2:1: unknown key `USR` at the top level (did you mean `USER`?)
            orders.yaml:11:7: unknown key `OFFSET` under KAFKA.INPUT.SOURCE
            orders.yaml:15:11: unknown key `TYP` under entry 1 of KAFKA.INPUT.VALUE.COLUMNS (did you mean `TYPE`?)
            orders.yaml:18:5: unknown key `DEAD_LETTER` under KAFKA.INPUT (`DEAD_LETTER` belongs under KAFKA)
            orders.yaml:21:5: unknown key `ERROR_LIMIT` under KAFKA.OUTPUT (`ERROR_LIMIT` belongs under KAFKA.INPUT)
            orders.yaml:23:5: unknown key `MINIMAL_INTERVALL` under KAFKA.COMMIT (did you mean `MINIMAL_INTERVAL`?)
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
                orders.yaml:1:1: the file holds nothing but comments
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
                orders.yaml:2:2: not YAML: did not find expected ',' or ']' while parsing a flow sequence at line 1 column 4
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
                orders.yaml:2:1: not YAML: found unexpected end of stream while scanning a quoted scalar at line 1 column 4
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
                orders.yaml:1:4: not YAML: found character that cannot start any token while scanning for the next token
            "#]],
        ),
    ] {
        expected.assert_eq(&complaints(text));
    }
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
fn the_kafka_client_is_asked_about_its_properties() {
    let properties = "  PROPERTIES:\n    security.protocl: ssl\n    fetch.wait.max.ms: soon\n    isolation.level: read_uncommitted\n    ssl.ca.location: [a]\n    sasl.kerberos.kinit.cmd:\n    enable.auto.commit: true\n  COMMIT:";
    check(
        &[("  COMMIT:", properties)],
        expect![[r#"
        orders.yaml:19:5: `security.protocl`: librdkafka knows no such property; did you mean security.protocol?
        orders.yaml:20:5: `fetch.wait.max.ms`: "soon": Invalid value for configuration property "fetch.wait.max.ms"
        orders.yaml:21:5: `isolation.level`: "read_uncommitted" would load records of aborted transactions; only "read_committed" is possible
        orders.yaml:22:22: `ssl.ca.location` must be a text, a number or true or false
    "#]],
    );
    check(
        &[("  COMMIT:", "  PROPERTIES:\n    enable.auto.commit: true\n    group.id: mine\n  COMMIT:")],
        expect![[r#"
        fine
        orders.yaml:19:5: `enable.auto.commit` has no effect: positions are kept in the database
    "#]],
    );
}

#[test]
fn properties_that_do_not_go_together() {
    check(
        &[(
            "MINIMAL_INTERVAL: 2000",
            "MINIMAL_INTERVAL: 2000\n  PROPERTIES:\n    security.protocol: ssl\n    ssl.ca.location: /nowhere/ca.pem",
        )],
        expect![[r#"
            orders.yaml:22:5: `ssl.ca.location`: there is no file /nowhere/ca.pem on this machine
        "#]],
    );
    check(
        &[(
            "MINIMAL_INTERVAL: 2000",
            "MINIMAL_INTERVAL: 2000\n  PROPERTIES:\n    security.protocol: sasl_plaintext\n    sasl.mechanism: NONE",
        )],
        expect![[r#"
            orders.yaml:20:3: PROPERTIES do not go together: Unsupported SASL mechanism: NONE
        "#]],
    );
    check(
        &[(
            "MINIMAL_INTERVAL: 2000",
            "MINIMAL_INTERVAL: 2000\n  PROPERTIES:\n    security.protocol: sasl_plaintext\n    sasl.mechanism: PLAIN\n    sasl.username: me\n    sasl.password: x",
        )],
        expect![[r#"
        fine
    "#]],
    );
}

#[test]
fn nothing_stands_beside_a_formatter() {
    let custom = ("FORMAT: csv", "FORMAT: custom\n      CUSTOM_OPTION: {NAME: f, PARAMSTR: 'a=1,'}");
    check(
        &[custom],
        expect![[r#"
        fine
    "#]],
    );
    let meta = ("  OUTPUT:", "    META:\n      COLUMNS: [{NAME: offset, TYPE: bigint}]\n  OUTPUT:");
    check(
        &[custom, meta, ("NAME: id", "NAME: __IGNORED__")],
        expect![[r#"
        orders.yaml:6:1: FORMAT custom makes all columns of a row; neither KEY nor META can stand beside it
        orders.yaml:6:1: FORMAT custom makes all columns of a row; none can be ignored
        orders.yaml:13:11: all COLUMNS are ignored
    "#]],
    );
    let merge = ("TABLE: orders", "TABLE: orders\n    MODE: merge\n    MATCH_COLUMNS: [id]\n    UPDATE_COLUMNS: [id]");
    check(
        &[custom, merge],
        expect![[r#"
        orders.yaml:6:1: FORMAT custom goes with MODE insert: which message a row comes from is not known, so none is the latest
    "#]],
    );
    let key = (
        "    VALUE:",
        "    KEY:\n      COLUMNS: [{NAME: k, TYPE: int}]\n      FORMAT: custom\n      CUSTOM_OPTION: {NAME: f}\n    VALUE:",
    );
    check(
        &[key],
        expect![[r#"
        orders.yaml:6:1: FORMAT custom is for VALUE, not for KEY
    "#]],
    );
}
