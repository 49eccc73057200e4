//! Rewriting as version 3: any right file comes out as the same job, with its comments.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::config::convert::convert_bytes;
use crate::config::{Callback, Kind};

fn converted(text: &str) -> Result<(String, String), String> {
    let path = Path::new("orders.yaml");
    let refused = |refusal: Refusal| render(&refusal, false, false);
    let converted = convert_bytes(path, text.as_bytes().to_vec(), &Variables::new()).map_err(refused)?;
    let left_out = Refusal { path: path.to_owned(), text: text.to_owned(), problems: converted.left_out };
    Ok((converted.text, refused(left_out)))
}

fn check(text: &str, expected: Expect) {
    let shown = converted(text).map_or_else(|refused| refused, |(text, left_out)| format!("{text}---\n{left_out}"));
    expected.assert_eq(&shown);
}

#[test]
fn what_has_no_effect_is_told_and_left_out() {
    let text = file(&[
        ("  OUTPUT:", "      # gone with it\n      JSONL_OPTION: {NEWLINE: x}   # gone too\n  OUTPUT:"),
        ("TABLE: orders", "TABLE: orders\n    MODE: insert\n    MATCH_COLUMNS:\n    # gone\n    - id"),
    ]);
    check(
        &text,
        expect![[r#"
        version: v3
        targets:
        - gpdb:
            host: mdw
            port: 5432
            user: gpadmin
            database: testdb
            tables:
            - table: orders
              mode:
                insert: {}
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
        ---
        orders.yaml:17:7: JSONL_OPTION is left out, for which version 3 has no key (it has no effect with this format)
        orders.yaml:21:5: MATCH_COLUMNS is left out, for which version 3 has no key (it has no effect in this mode)
    "#]],
    );
}

#[test]
fn comments_and_odd_spellings() {
    let text = file(&[
        ("DATABASE: testdb", "# two\n\n# heads\n\n# of the database\nDATABASE: &db 'test#db' # 'its name'"),
        ("HOST: mdw", "HOST: \"mdw\" # a host"),
        ("KAFKA:", "# the topic\nKAFKA: # and its table\n  # what is read\n"),
        (
            "TABLE: orders",
            "TABLE: *db\n    MAPPING:\n      - {NAME: 'a', EXPRESSION: 'id'} # flow\n      # plain\n      - EXPRESSION: id # expression\n          + 1\n        NAME: yes # name",
        ),
        ("2000", "2000\n# foot\n  # note"),
    ]);
    let text = text.replace("id # expression\n          + 1", "id\n          + 1 # expression");
    check(
        &text,
        expect![[r##"
        # two

        # heads

        version: v3
        targets:
        - gpdb:
            host: "mdw"  # a host
            port: 5432
            user: gpadmin
            # of the database
            database: 'test#db'  # 'its name'
            tables:
            - table: 'test#db'
              mapping:
                'a': 'id'  # flow
                # expression
                # plain
                yes: 'id + 1'  # name
        sources:
        - kafka:
            topic: orders
            # the topic
            # and its table
            # what is read
            brokers: localhost:9092
            value_content:
              csv:
                columns:
                - name: id
                  type: int
            task:
              batch_size:
                interval_ms: 2000
        # foot
        # note
        ---
    "##]],
    );
}

#[test]
fn variables_stay() {
    let text = file(&[
        ("5432", "{{ port }}  # {{port}} or 5432"),
        ("TOPIC: orders", "TOPIC: a_{{topic}}_{{topic}}"),
        ("TABLE: orders", "TABLE: '{{table}}'\n    MAPPING: {'{{column}}': id}"),
    ]);
    check(
        &text,
        expect![[r#"
        version: v3
        targets:
        - gpdb:
            host: mdw
            port: {{port}}  # {{port}} or 5432
            user: gpadmin
            database: testdb
            tables:
            - table: '{{table}}'
              mapping:
                '{{column}}': id
        sources:
        - kafka:
            topic: a_{{topic}}_{{topic}}
            brokers: localhost:9092
            value_content:
              csv:
                columns:
                - name: id
                  type: int
            task:
              batch_size:
                interval_ms: 2000
        ---
    "#]],
    );
}

#[test]
fn passwords_stay_as_they_are_written() {
    for written in ["${GPKAFKA_NO_SUCH_VARIABLE}", "SHADOW:D4PTBOBVSYQS4W", "'it''s'"] {
        let (text, _) = converted(&file(&[("HOST", &format!("PASSWORD: {written}\nHOST"))])).unwrap();
        assert!(text.contains(&format!("    password: {written}\n")), "{text}");
    }
}

#[test]
fn what_cannot_be_rewritten() {
    check(
        &file(&[("TOPIC", "TOPIK")]),
        expect![[r#"
        orders.yaml:10:7: unknown key `TOPIK` under KAFKA.INPUT.SOURCE (did you mean `TOPIC`?)
    "#]],
    );
    check(
        "version: v3\ntargets: []\n",
        expect![[r#"
        orders.yaml:1:1: `sources` is missing
        orders.yaml:2:10: `targets` is an empty list
    "#]],
    );
    check(
        "A: [\n",
        expect![[r#"
        orders.yaml:2:1: not YAML: did not find expected node content while parsing a flow node
    "#]],
    );
    let v3 = converted(&file(&[])).unwrap().0;
    check(
        &v3,
        expect![[r#"
        orders.yaml: the file is of version 3 already
    "#]],
    );
    check(
        &file(&[("TOPIC: orders", "TOPIC: orders\n      {{more}}")]),
        expect![[r#"
        orders.yaml:12:5: not YAML: could not find expected ':' while scanning a simple key at line 11 column 7
    "#]],
    );
}

/// A text in every way that YAML can write it; SQL likes to have all of these in it.
fn spelled(text: &str, form: u8) -> String {
    match form {
        0 => format!("'{}'", text.replace('\'', "''")),
        1 => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        2 => format!("|-\n          {text}"),
        _ => format!(">-\n          {text}\n          IS NOT NULL"),
    }
}

/// Lines of a block of which some are left out, in any order, each with a comment of its own.
fn lines(lines: Vec<String>) -> impl Strategy<Value = Vec<String>> {
    let all = lines.len();
    subsequence(lines, 0..=all).prop_shuffle()
}

fn sql() -> impl Strategy<Value = String> {
    ("[a-z][a-z' #:\"{}\\\\|>,-]{0,12}[a-z]", 0..4_u8)
        .prop_filter("a variable is no SQL", |(text, _)| !text.contains("{{"))
        .prop_map(|(text, form)| spelled(&text, form))
}

fn format() -> impl Strategy<Value = String> {
    let column = |name: &str, kind: &str| format!("COLUMNS:\n        - NAME: {name}\n          TYPE: {kind}\n");
    select(vec![
        column("$c", "int") + "      FORMAT: csv\n      CSV_OPTION: {DELIMITER: ';', FORCE_NOT_NULL: $c, NULL_STRING: '~'}\n",
        "COLUMNS:\n        - {NAME: $c, TYPE: int}\n        - {NAME: __IGNORED__, TYPE: 'numeric(9,2)'}\n".to_owned() + "      FORMAT: Delimited\n      DELIMITED_OPTION:\n        DELIMITER: \"\\t\"\n",
        column("$c", "json") + "      FORMAT: json\n      CSV_OPTION: {}\n",
        column("'\"$C\"'", "jsonb") + "      FORMAT: jsonl\n      JSONL_OPTION: {NEWLINE: \"\\r\\n\"}\n",
        column("$c", "json") + "      FORMAT: jsonl\n",
        column("$c", "bytea") + "      FORMAT: binary\n",
        column("$c", "json") + "      FORMAT: avro\n      AVRO_OPTION: {SCHEMA_REGISTRY_ADDR: 'http://a, http://b'}\n",
        "COLUMNS:\n        - {NAME: $c, TYPE: int}\n        - {NAME: $c2, TYPE: 'numeric(9,2)'}\n      FORMAT: custom\n      CUSTOM_OPTION: {NAME: f, PARAMSTR: 'a=b, c'}\n".to_owned(),
    ])
}

fn output() -> impl Strategy<Value = String> {
    let modes = vec![
        String::new(),
        "      MODE: Insert\n".to_owned(),
        "      MODE: update\n      MATCH_COLUMNS: [a]\n      UPDATE_COLUMNS:\n      - b\n      - '\"C\"'\n".to_owned(),
        "      MODE: MERGE\n      MATCH_COLUMNS: [a]\n      UPDATE_COLUMNS: [b]\n      ORDER_COLUMNS: [c]\n      DELETE_CONDITION: a = 'D'\n".to_owned(),
    ];
    let mapping = (0..3_u8, sql(), sql()).prop_map(|(form, one, two)| match form {
        0 => String::new(),
        1 => format!("      MAPPING:\n        a: {one}\n        '\"B\"': {two}\n"),
        _ => format!("      MAPPING:\n      - NAME: a\n        EXPRESSION: {one}\n      - EXPRESSION: {two}\n        NAME: '\"B\"'\n"),
    });
    (select(modes), mapping, lines(vec!["      SCHEMA: s\n".to_owned(), "      FILTER: a > 0;\n".to_owned()]))
        .prop_map(|(mode, mapping, lines)| format!("      TABLE: t\n{mode}{mapping}{}", lines.concat()))
}

fn block(name: &str, lines: &[String]) -> String {
    if lines.is_empty() { String::new() } else { format!("{name}\n{}", lines.concat()) }
}

fn own(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

prop_compose! {
    fn any_file()(
        is_first_version in any::<bool>(),
        (value, key) in (format(), proptest::option::of(format())),
        outputs in proptest::collection::vec(output(), 1..3),
        has_meta in any::<bool>(),
        filter in proptest::option::of(sql()),
        source in lines(own(&["      PARTITIONS: (1, 2...3)", "      FALLBACK_OFFSET: latest", "      ENCRYPTION: no"])),
        input in lines(own(&["    ERROR_LIMIT: 5%", "    ENCODING: latin1", "    LOCAL_PORT: 1", "    TRANSFORMER: {PATH: a.wasm, TRANSFORM: f, PROPERTIES: {A: 1}}"])),
        commit in lines(own(&["    MAX_ROW: 3", "    MINIMAL_INTERVAL: 7", "    IDLE_DURATION: -1", "    CONSISTENCY: At-Least", "    SAVE_FAILING_BATCH: yes"])),
        task in lines(own(&["    POST_BATCH_SQL: a; b", "    BATCH_INTERVAL: 3", "    PREPARE_SQL: '#'", "    TEARDOWN_SQL: \"x\""])),
        more in lines(own(&["  METADATA: {SCHEMA: m}", "  PROPERTIES: {group.id: g, 'client.id': \"#\"}", "  POLL: {BATCHSIZE: 1}"])),
        schedule in lines(own(&["  RETRY_INTERVAL: 5m", "  MAX_RETRIES: -1", "  QUIT_AT_EOF_AFTER: 01:02", "  RUNNING_DURATION: 1h"])),
        alert in proptest::option::of(Just("ALERT: {COMMAND: 'a # b', TIMEOUT: -1s}\n")),
    ) -> String {
        // nothing stands beside a formatter's columns
        let is_custom = value.contains("FORMAT: custom");
        let key = key.filter(|key| !is_custom && !key.contains("FORMAT: custom"));
        let has_meta = has_meta && !is_custom;
        let outputs = if is_custom { vec!["      TABLE: t\n      FILTER: a > 0;\n".to_owned()] } else { outputs };
        let keeps_batches = |line: &String| line.contains("SAVE_FAILING_BATCH");
        let commit: Vec<String> = commit.into_iter().filter(|line| !is_custom || !keeps_batches(line)).collect();
        let contents = if is_first_version {
            value.replace("$c", "v").replace("$C", "V").replace("\n  ", "\n").replacen("COLUMNS", "    COLUMNS", 1)
        } else {
            let part = |name: &str, content: &str, column: &str| {
                format!("    {name}:\n      {}", content.replace("$c", column).replace("$C", &column.to_uppercase()))
            };
            let key = key.map(|key| part("KEY", &key, "k")).unwrap_or_default();
            let meta = if has_meta { "    META: {COLUMNS: [{NAME: m, TYPE: json}], FORMAT: json}\n" } else { "" };
            format!("{}{key}{meta}", part("VALUE", &value, "v"))
        };
        let outputs = match &outputs[..] {
            [output] => format!("  OUTPUT:\n{output}"),
            several => format!("  OUTPUTS:\n{}", several.iter().map(|output| format!("    -{}", &output[5..])).collect::<String>()),
        };
        let filter = filter.map(|filter| format!("    FILTER: {filter}\n")).unwrap_or_default();
        let version = if is_first_version { "" } else { "VERSION: 2\n" };
        format!(
            "DATABASE: d\nUSER: u\nHOST: h\nPORT: 5\n{version}KAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: a,b:1\n      TOPIC: t\n{}{contents}{filter}{}{outputs}{}{}{}{}{}",
            source.concat(), input.concat(), block("  COMMIT:", &commit), block("  TASK:", &task), more.concat(),
            block("SCHEDULE:", &schedule), alert.unwrap_or_default(),
        )
    }
}

/// What a file means as far as it can be told while some of it is to come, and what is refused in it.
fn meant(text: &str) -> (Option<Job>, usize) {
    let filled = crate::config::template::Filled::new(text.to_owned(), &Variables::new());
    let complaints = crate::config::problem::Complaints::new(&filled);
    let job = crate::config::file::job(&complaints, &crate::config::yaml::parse(text).unwrap());
    let refused = complaints.conclude().err().unwrap_or_default();
    let mistakes: Vec<_> = refused.iter().filter(|problem| problem.kind == Kind::Mistake).collect();
    assert!(mistakes.is_empty(), "{mistakes:?} in\n{text}");
    (job.map(|job| Job { warnings: Vec::new(), callback: Callback::default(), ..job }), refused.len())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_job_stays_the_same(text in any_file()) {
        let wanted = meant(&text);
        let (text_v3, _) = converted(&text).map_err(|refused| TestCaseError::fail(format!("{refused} in\n{text}")))?;
        prop_assert_eq!(wanted, meant(&text_v3), "\n{}\n{}", text, text_v3);
    }

    #[test]
    fn damaged_files_are_told_and_nothing_more(
        file in select(vec![
            include_str!("../samples/cdc_merge.yaml"),
            include_str!("../samples/several_tables_v3.yaml"),
            include_str!("../samples/t7_key_value_meta.yaml"),
            include_str!("../samples/t7_key_value_meta_v3.yaml"),
        ]),
        damages in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[-#'\"&*!|>%@:,{}\\[\\]é \n\tA-C]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = file.chars().collect();
        for (at, length, new) in damages {
            let at = at.index(text.len());
            text.splice(at..(at + length).min(text.len()), new.chars());
        }
        let text: String = text.into_iter().collect();
        drop(parsed(&text));
        drop(converted(&text));
    }

    #[test]
    fn each_comment_is_there_once(text in any_file(), above in any::<bool>()) {
        let is_value = |line: &str| line.trim_start().starts_with(|c: char| c.is_ascii_uppercase() || c == '-') && line.contains(": ");
        let is_whole = |line: &str| !line.ends_with([':', '-']) && is_value(line);
        let mut commented = String::new();
        for (at, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            commented += &match is_whole(line) && !line.ends_with("|-") && !line.ends_with(">-") {
                true if above => format!("{}# comment{at}.\n{line}\n", " ".repeat(indent)),
                true => format!("{line} # comment{at}.\n"),
                false => format!("{line}\n"),
            };
        }
        prop_assert_eq!(meant(&text), meant(&commented), "\n{}", commented);
        let (text_v3, left_out) = converted(&commented).map_err(TestCaseError::fail)?;
        for (at, line) in text.lines().enumerate() {
            let comment = format!("# comment{at}.");
            let is_kept = commented.contains(&comment) && left_out.is_empty();
            let times = text_v3.matches(&comment).count();
            prop_assert!(times <= 1 && (!is_kept || times == 1), "{line}: {times}\n{commented}\n{text_v3}");
        }
    }
}
