//! Values that are wrong: each with what it must be.

use super::*;

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
fn columns_of_formats() {
    let two = |format| format!("        - NAME: other\n          TYPE: bytea\n      FORMAT: {format}");
    check(
        &[("      FORMAT: csv", &two("json"))],
        expect![[r#"
        fine
    "#]],
    );
    check(
        &[("      FORMAT: csv", &two("binary"))],
        expect![[r#"
        orders.yaml:12:7: FORMAT binary makes one column, of type bytea, not 2
    "#]],
    );
    check(
        &[("csv", "json")],
        expect![[r#"
        fine
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
fn paths_of_columns() {
    let path = |path: &str, format: &str| {
        let path = format!("TYPE: int\n          PATH: {path}");
        complaints(&file(&[("TYPE: int", &path), ("FORMAT: csv", &format!("FORMAT: {format}"))]))
    };
    for (written, expected) in [
        ("a.b.0.c", &["a", "b", "0", "c"][..]),
        ("id", &["id"]),
        ("0.5", &["0", "5"]),
        ("[a, \"b.c\", 0, true]", &["a", "b.c", "0", "true"]),
        ("' a . b '", &[" a ", " b "]),
        ("[a, '']", &["a", ""]),
    ] {
        let text =
            file(&[("TYPE: int", &format!("TYPE: int\n          PATH: {written}")), ("FORMAT: csv", "FORMAT: jsonl")]);
        let columns = parsed(&text).unwrap().value.unwrap().columns.unwrap();
        assert_eq!(columns[0].path.as_deref().unwrap(), expected, "{written}");
    }
    for written in ["a..b", "'.'", "[]", "{a: b}", "[[a]]"] {
        let said = path(written, "json");
        assert!(said.contains("`PATH` must be a path like `customer.items.0.id`, or a list of its names"), "{said}");
    }
    expect![[r#"
        orders.yaml:15:11: PATH finds fields by name, and those of FORMAT csv have none (it is for json, jsonl, avro and protobuf)
    "#]].assert_eq(&path("a.b", "csv"));
    expect![[r#"
        orders.yaml:13:11: the column of FORMAT binary has type bytea, not `int`
        orders.yaml:15:11: PATH finds fields by name, and those of FORMAT binary have none (it is for json, jsonl, avro and protobuf)
    "#]].assert_eq(&path("id", "binary"));
}

#[test]
fn paths_as_other_programs_write_them() {
    let path = |path: &str| {
        complaints(&file(&[
            ("TYPE: int", &format!("TYPE: int\n          PATH: {path}")),
            ("FORMAT: csv", "FORMAT: json"),
        ]))
    };
    for (written, meant) in [
        ("$.items[0].sku", "items.0.sku"),
        ("items[0]", "items.0"),
        ("$[0][1].a", "0.1.a"),
        ("\"$['a b'][2]\"", "a b.2"),
        ("$.a", "a"),
    ] {
        let said = path(written);
        assert!(said.contains(&format!("(did you mean `{meant}`? ")), "{written}: {said}");
    }
    expect![[r#"
        fine
        orders.yaml:15:17: PATH is names parted by dots, and elements of a list by their number: `$.items[0].sku` (did you mean `items.0.sku`? Fields that are really called so stand in a list: `['$', 'items[0]', 'sku']`)
    "#]].assert_eq(&path("$.items[0].sku"));
    expect![[r#"
        fine
        orders.yaml:15:17: PATH is names parted by dots, and elements of a list by their number: `$` (a whole message is the only column, of type json and without a path)
    "#]].assert_eq(&path("$"));
    expect![[r#"
        fine
        orders.yaml:15:17: PATH is names parted by dots, and elements of a list by their number: `items[*].sku` (no path stands for all elements: a column of type json takes the list whole)
    "#]].assert_eq(&path("items[*].sku"));
    // names of fields, however odd
    for written in ["$oid", "_id.$oid", "a$.b", "a[b]", "a[0", "'[]'", "a[0]b", "a]0[", "['$.items[0].sku']", "['$']"] {
        assert_eq!(path(written), "fine\n", "{written}");
    }
}

/// A file with the options of a format.
fn with(format: &str, option: &str) -> String {
    file(&[("FORMAT: csv", &format!("FORMAT: {format}\n      {option}"))])
}

#[test]
fn options_of_delimited() {
    for (text, expected) in [
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '|', QUOTE: '\"'}"),
            expect![[r#"
            orders.yaml:16:7: DELIMITED_OPTION has a QUOTE without an ESCAPE
        "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '||', EOL_PREFIX: '|', QUOTE: '\"', ESCAPE: '\\'}"),
            expect![[r#"
                fine
            "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '\\x00', EOL_PREFIX: \"a\\nb\", QUOTE: ab, ESCAPE: 'é'}"),
            expect![[r#"
                orders.yaml:16:37: `DELIMITER` may not hold a line break or NUL
                orders.yaml:16:57: `EOL_PREFIX` may not hold a line break or NUL
                orders.yaml:16:72: `QUOTE` must be one ASCII character, or an escape of one like `\t` or `\x01`, not `ab`
                orders.yaml:16:84: `ESCAPE` must be one ASCII character, or an escape of one like `\t` or `\x01`, not `é`
            "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '---------------------------------', EOL_PREFIX: '\\r'}"),
            expect![[r#"
                orders.yaml:16:37: `DELIMITER` must be a text of 1 to 32 bytes, not `---------------------------------`
            "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '|\"', EOL_PREFIX: '\\|\"', QUOTE: '\"', ESCAPE: '|'}"),
            expect![[r#"
                orders.yaml:16:55: `EOL_PREFIX` has an escape in it that nobody knows: `\|`
                orders.yaml:16:69: QUOTE of DELIMITED_OPTION may not be part of its DELIMITER
                orders.yaml:16:82: ESCAPE of DELIMITED_OPTION may not be part of its DELIMITER
            "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITER: '\\t', EOL_PREFIX: '\\x09', QUOTE: '\"', ESCAPE: ''}"),
            expect![[r#"
                orders.yaml:16:7: DELIMITED_OPTION has a QUOTE without an ESCAPE
                orders.yaml:16:55: DELIMITER and EOL_PREFIX of DELIMITED_OPTION may not be the same
            "#]],
        ),
        (
            with("delimited", "DELIMITED_OPTION: {DELIMITOR: '|'}"),
            expect![[r#"
            orders.yaml:16:26: unknown key `DELIMITOR` under KAFKA.INPUT.VALUE.DELIMITED_OPTION (did you mean `DELIMITER`?)
        "#]],
        ),
    ] {
        expected.assert_eq(&complaints(&text));
    }
}

#[test]
fn options_of_formats() {
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
            with("avro", "AVRO_OPTION: {SCHEMA_REGISTRY_ADDR: registry}"),
            expect![[r#"
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
fn partitions_and_brokers_that_nobody_has() {
    check(
        &[("TOPIC: orders", "TOPIC: orders\n      PARTITIONS: (0...2000000000)")],
        expect![[r#"
        orders.yaml:11:19: `PARTITIONS` names 2000000001 partitions: a job reads 10000 at most
    "#]],
    );
    check(
        &[("TOPIC: orders", "TOPIC: orders\n      PARTITIONS: (0...4999, 5001...10000)")],
        expect![[r#"
        fine
    "#]],
    );
    check(
        &[("TOPIC: orders", "TOPIC: orders\n      PARTITIONS: (0...5000, 5001...10000)")],
        expect![[r#"
        orders.yaml:11:19: `PARTITIONS` names 10001 partitions: a job reads 10000 at most
    "#]],
    );
    check(
        &[("localhost:9092", "ssl://a, SASL_SSL://b:1, kafka://host:9092")],
        expect![[r#"
        orders.yaml:9:16: `BROKERS` has a broker `kafka://host:9092` that is no `host:port`, nor one after plaintext://, ssl:// or sasl_ssl://
    "#]],
    );
}

#[test]
fn passwords() {
    let password = |written: &str| file(&[("HOST", &format!("PASSWORD: {written}\nHOST"))]);
    let reveal = |written: &str| parsed(&password(written)).unwrap().connection.password.map(|p| p.reveal().to_owned());
    let shadowed = crate::config::shadowed("s3cret").unwrap();
    for (written, clear) in [("s3cret", Some("s3cret")), ("'$x{}'", Some("$x{}")), ("", None), ("1234", Some("1234"))] {
        assert_eq!(reveal(written).as_deref(), clear, "{written}");
    }
    assert_eq!(reveal(&shadowed).as_deref(), Some("s3cret"));
    // the one variable that every test process has
    assert_eq!(reveal("${PATH}"), std::env::var("PATH").ok());
    for (written, expected) in [
        (
            "SHADOW:D4PTBOBVSYQS4W",
            expect![[r#"
            orders.yaml:3:11: `PASSWORD` is a `SHADOW:` of another program, whose method is not public (run `gpkafka shadow` and put what it prints here)
        "#]],
        ),
        (
            &shadowed[..shadowed.len() - 2],
            expect![[r#"
            orders.yaml:3:11: `PASSWORD` is a `SHADOW:` of which something is missing or mistyped (run `gpkafka shadow` and put what it prints here)
        "#]],
        ),
        (
            "${GPKAFKA_NO_SUCH_VARIABLE}",
            expect![[r#"
            orders.yaml:3:11: `PASSWORD` is ${GPKAFKA_NO_SUCH_VARIABLE}, which the environment does not have (export GPKAFKA_NO_SUCH_VARIABLE=…)
        "#]],
        ),
        (
            "${not a name}",
            expect![[r#"
            orders.yaml:3:11: `PASSWORD` must be the name of a variable in `${…}`: letters, digits and _
        "#]],
        ),
        (
            "[s3cret]",
            expect![[r#"
            orders.yaml:3:11: `PASSWORD` must be a text, not a list
        "#]],
        ),
        (
            "\"s3cret\\0\"",
            expect![[r#"
            orders.yaml:3:11: `PASSWORD` holds a NUL byte, which neither SQL nor Kafka's client can take
        "#]],
        ),
    ] {
        let refusal = parsed(&password(written)).unwrap_err();
        let said = render(&refusal, false, false);
        assert_eq!(render(&refusal, true, false), said, "no picture shows a password");
        expected.assert_eq(&said);
    }
}
