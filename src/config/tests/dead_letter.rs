//! DEAD_LETTER: where it is, and what cannot stand beside it.

use expect_test::expect;

use super::*;

const LIMIT: (&str, &str) = ("  OUTPUT:", "    ERROR_LIMIT: 1%\n  OUTPUT:");

fn table(edits: &[(&str, &str)]) -> String {
    parsed(&file(edits)).unwrap().dead_letters.unwrap().to_string()
}

#[test]
fn its_schema_is_its_own_or_that_of_our_tables_or_of_the_target() {
    let letters = ("  OUTPUT:", "    ERROR_LIMIT: 1%\n  DEAD_LETTER: {TABLE: Refused}\n  OUTPUT:");
    assert_eq!(table(&[letters]), r#""public"."refused""#);
    let metadata = ("  OUTPUT:", "  METADATA: {SCHEMA: meta}\n  OUTPUT:");
    assert_eq!(table(&[letters, metadata]), r#""meta"."refused""#);
    let own = ("TABLE: Refused", "SCHEMA: '\"Own\"', TABLE: refused");
    assert_eq!(table(&[letters, metadata, own]), r#""Own"."refused""#);
}

#[test]
fn it_needs_a_limit_and_stands_alone() {
    let letters = ("  OUTPUT:", "  DEAD_LETTER: {TABLE: refused}\n  OUTPUT:");
    check(
        &[letters],
        expect![[r#"
            orders.yaml:16:3: dead letters need ERROR_LIMIT: so many rejects of a batch go there, one more fails it (write `ERROR_LIMIT: 1000` or `ERROR_LIMIT: 10%` under KAFKA.INPUT)
        "#]],
    );
    check(
        &[LIMIT, ("  OUTPUT:", "  DEAD_LETTER: {SCHEMA: a, TABEL: b}\n  OUTPUT:")],
        expect![[r#"
        orders.yaml:17:28: unknown key `TABEL` under KAFKA.DEAD_LETTER (did you mean `TABLE`?)
    "#]],
    );
    let saves = ("MINIMAL_INTERVAL: 2000", "SAVE_FAILING_BATCH: true");
    check(
        &[LIMIT, letters, saves],
        expect![[r#"
            orders.yaml:17:3: dead letters have their own way with rows that the database refuses: they go there, and others are loaded (leave SAVE_FAILING_BATCH and RECOVER_FAILING_BATCH out)
        "#]],
    );
    let custom = ("FORMAT: csv", "FORMAT: custom\n      CUSTOM_OPTION: {NAME: f}");
    check(
        &[LIMIT, letters, custom],
        expect![[r#"
        orders.yaml:18:3: FORMAT custom has no dead letters: which message a row comes from is not known
    "#]],
    );
}
