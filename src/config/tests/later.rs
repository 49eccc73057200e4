//! Files that ask for what is to come: strictly checked, then refused by name.

use super::*;

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
            fine
        "#]],
    );
    check(
        &[("TABLE: orders", "TABLE: orders\n    MODE: upsert")],
        expect![[r#"
            orders.yaml:18:11: `MODE` must be insert, update or merge, not `upsert` (did you mean `merge`?)
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
            orders.yaml:1:1: unknown key `DATABASE` at the top level (`database` belongs under targets.gpdb)
            orders.yaml:1:1: `targets` is missing
            orders.yaml:1:1: `sources` is missing
            orders.yaml:2:1: unknown key `USER` at the top level (`user` belongs under targets.gpdb)
            orders.yaml:3:1: unknown key `HOST` at the top level (`host` belongs under targets.gpdb)
            orders.yaml:4:1: unknown key `PORT` at the top level (`port` belongs under targets.gpdb)
            orders.yaml:6:1: unknown key `KAFKA` at the top level
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
    let key = "    KEY:\n      COLUMNS:\n        - NAME: key\n          TYPE: text\n      FORMAT: avro\n    META:\n      COLUMNS:\n        - NAME: meta\n          TYPE: json\n      FORMAT: json\n    ENCODING: latin1\n    TRANSFORMER:\n      PATH: a.wasm\n      TRANSFORM: f\n  OUTPUT:";
    let rest = "MINIMAL_INTERVAL: 2000\n    CONSISTENCY: at-least\n    SAVE_FAILING_BATCH: true\n    RECOVER_FAILING_BATCH: false\n  TASK:\n    POST_BATCH_SQL: SELECT 1\n    BATCH_INTERVAL: 5\nSCHEDULE:\n  RETRY_INTERVAL: 5m\nALERT:\n  COMMAND: mail\n  TIMEOUT: -1s";
    let edits = [("  OUTPUT:", key), ("MINIMAL_INTERVAL: 2000", rest)];
    check(
        &edits,
        expect![[r#"
            orders.yaml:16:5: `AVRO_OPTION` is missing under KAFKA.INPUT.KEY
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
