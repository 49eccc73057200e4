//! Files that are right, and the job that each of them means, kept beside it.

use expect_test::expect_file;

use super::*;
use crate::config::Callback;
use crate::config::convert::convert_bytes;

/// What a file means, which is kept beside it, or why it is refused.
fn meaning(name: &str, text: &str) -> Result<Job, String> {
    let given = [("port", "5432"), ("region", "emea")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let given = given.into_iter().filter(|(name, _)| text.contains(&format!("{{{{{name}}}}}"))).collect();
    parse(Path::new(name), text.as_bytes().to_vec(), &given).map_err(|refusal| render(&refusal, false, false))
}

/// A sample and what it means; in version 3 it means the same, and `convert` makes that of it.
macro_rules! samples {
    ($($name:ident: $file:literal),* $(,)?) => {$(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../samples/", $file, ".yaml"));
            let meant = meaning(concat!($file, ".yaml"), text);
            expect_file![concat!("../samples/", $file, ".txt")].assert_debug_eq(&meant);
            let path = Path::new(concat!($file, ".yaml"));
            let converted = convert_bytes(path, text.as_bytes().to_vec(), &Variables::new()).map_err(|refusal| {
                render(&refusal, false, false)
            });
            let converted = converted.unwrap();
            expect_file![concat!("../samples/", $file, "_v3.yaml")].assert_eq(&converted.text);
            let left_out = Refusal { path: path.to_owned(), text: text.to_owned(), problems: converted.left_out };
            let (meant, in_v3) = (meant.unwrap(), meaning("v3.yaml", &converted.text).unwrap());
            let callback = Callback::default();
            assert_eq!(in_v3, Job { warnings: Vec::new(), callback, ..meant });
            if !left_out.problems.is_empty() {
                let left_out = render(&left_out, false, false);
                expect_file![concat!("../samples/", $file, "_left_out.txt")].assert_eq(&left_out);
            }
        }
    )*};
}

samples! {
    avro_with_every_option: "avro_options",
    changes_merged: "cdc_merge",
    csv_with_an_ignored_and_a_computed_column: "t1_csv",
    custom_formatter: "custom",
    every_key_of_version_1: "v1_synopsis",
    every_key_of_version_2: "v2_synopsis",
    whole_json_message_without_columns: "t3_whole_json",
    whole_json_message_under_another_name: "t4_json_column",
    json_fields_by_expression: "t5_json_fields",
    json_fields_renamed_in_the_short_form: "t6_json_renamed",
    key_value_and_meta: "t7_key_value_meta",
    binary_message: "t8_binary",
    json_lines_of_some_partitions: "t9_json_lines",
    avro_key_and_value: "t17_avro",
    filter_with_a_semicolon: "t18_filter",
    several_tables: "several_tables",
    transformer_in_sql: "transformer_sql",
    transformer_of_messages: "transformer_plugin",
}

#[test]
fn everything_that_is_supported() {
    let meant = meaning("orders.yaml", include_str!("../reference.yaml"));
    expect_file!["../reference.txt"].assert_debug_eq(&meant);
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
fn line_breaks_of_other_systems() {
    let text = file(&[("MINIMAL_INTERVAL", "MINIMAL_INTERVALL")]).replace('\n', "\r\n");
    expect![[r#"
        orders.yaml:19:5: unknown key `MINIMAL_INTERVALL` under KAFKA.COMMIT (did you mean `MINIMAL_INTERVAL`?)
    "#]]
    .assert_eq(&complaints(&format!("\u{feff}{text}")));
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
            orders.yaml:7:3: KEY needs COLUMNS: beside others it cannot have the target's own
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
            Ok(job) => format!("{} → {} {:?}\n", job.source.topic, job.target(), job.warnings),
            Err(refusal) => render(&refusal, false, false) + &render(&refusal, true, false),
        }
    };
    expect![[r#"
        t → "public"."T" [Problem { kind: Warning, line: 0, column: 0, span: 0..0, text: "there is no {{tabel}} in the file to give a value to", hint: None }]
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
