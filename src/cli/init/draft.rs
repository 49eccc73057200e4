//! A job file, and the statement that makes its table, as texts. Pure.

use std::fmt::Write as _;

use super::super::trial::Refused;
use super::plan::Plan;
use super::shape::Shape;
use crate::line;
use crate::schema::SchemaKind;
use crate::table::{Ident, TableName};

/// All that a job file says.
#[derive(Debug)]
pub struct Draft<'a> {
    pub host: &'a str,
    pub port: u16,
    pub user: &'a str,
    pub database: &'a str,
    pub brokers: &'a str,
    pub topic: &'a str,
    pub table: &'a TableName,
    pub table_exists: bool,
    pub shape: Shape,
    /// Of framed messages: the registry without credentials, the user in them, and what its schemas are.
    pub registry: Option<(String, Option<String>, SchemaKind)>,
    pub sampled: usize,
    pub has_keys: bool,
    /// Messages without a value, beside those that were sampled.
    pub tombstones: usize,
    /// Rows of CSV that have fewer fields than the widest.
    pub narrower: usize,
    /// What a file like this one refuses of the sample.
    pub refused: Option<Refused>,
    pub plan: &'a Plan,
}

/// The least share of a batch to propose: a lower one would fail batches of a few messages for a single bad one.
const LIMIT_MIN_PERCENT: usize = 10;

/// A value of YAML: bare where nothing can be made of it but this text.
fn yaml(text: &str) -> String {
    let is_bare = |text: &str| {
        let mut bytes = text.bytes();
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
            && !matches!(
                text.to_ascii_lowercase().as_str(),
                "y" | "n" | "yes" | "no" | "on" | "off" | "true" | "false" | "null"
            )
    };
    match text {
        text if is_bare(text) => text.to_owned(),
        text => quoted(text),
    }
}

/// A name as the file's reader folds it back.
fn name(ident: &Ident) -> String {
    let bare = ident.as_str();
    let is_plain = bare.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if is_plain && !bare.is_empty() { yaml(bare) } else { yaml(&ident.to_string()) }
}

/// For a comment: on one line, and nothing that a template would fill in.
fn comment(text: &str) -> String {
    without_odd(&line::excerpt(text, 200).replace("{{", "{ {"))
}

/// What a text of YAML may not hold, or takes for the end of a line or for nothing, as quotes write it.
fn without_odd(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _infallible = write!(plain, "\\u{:04x}", u32::from(char));
            }
            char => plain.push(char),
        }
    }
    plain
}

impl Draft<'_> {
    /// The file.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |written: &str| {
            // writing to a String cannot fail
            let _infallible = writeln!(text, "{written}");
        };
        line(&format!(
            "# Written by `gpkafka init` from {} messages of the topic; `gpkafka help config` explains",
            self.sampled
        ));
        line("# every key. Look through the columns, then run `gpkafka dryrun --connect` with this file.");
        line(&format!("DATABASE: {}", yaml(self.database)));
        line(&format!("USER: {}", yaml(self.user)));
        line("# no PASSWORD: it comes from PGPASSWORD or ~/.pgpass, or write PASSWORD: ${VARIABLE}");
        line(&format!("HOST: {}", yaml(self.host)));
        line(&format!("PORT: {}", self.port));
        line("VERSION: 2");
        line("KAFKA:");
        line("  INPUT:");
        line("    SOURCE:");
        line(&format!("      BROKERS: {}", yaml(self.brokers)));
        line(&format!("      TOPIC: {}", yaml(self.topic)));
        line("    VALUE:");
        self.columns().iter().chain(&self.format()).for_each(|written| line(written));
        if self.has_keys {
            line("    # messages have keys: a block KEY like VALUE makes columns of them");
        }
        self.limit().iter().for_each(|written| line(written));
        line("  OUTPUT:");
        line(&format!("    SCHEMA: {}", name(&self.table.schema)));
        line(&format!("    TABLE: {}", name(&self.table.table)));
        self.mapping().iter().for_each(|written| line(written));
        line("  COMMIT:");
        line("    MINIMAL_INTERVAL: 5000              # milliseconds that a batch is open");
        text
    }

    /// How many messages may be refused, and why that has to be so many.
    fn limit(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Refused { count, place, reason }) = &self.refused {
            let which = format!("{count} of {} {}", self.sampled, if *count == 1 { "is none" } else { "are none" });
            lines.push(format!("    # not all messages are rows: {which} ({place})"));
            lines.push(format!("    # refused for: {}", comment(reason)));
        }
        if self.tombstones > 0 {
            let (count, all) = (self.tombstones, self.sampled + self.tombstones);
            let have = if count == 1 { "has" } else { "have" };
            lines.push(format!("    # {count} of {all} messages {have} no value: refused without a block KEY;"));
            lines.push("    # with one such a message is a row of its key, and columns of VALUE are NULL".to_owned());
        }
        let share = match &self.refused {
            // nobody knows how many there are in a row
            _ if self.tombstones > 0 => 100,
            Some(Refused { count, .. }) => {
                (2 * count * 100).div_ceil(self.sampled.max(1)).clamp(LIMIT_MIN_PERCENT, 100)
            }
            None => {
                let line =
                    "    # ERROR_LIMIT: 25                   # messages of a batch that may be refused; 0 by default";
                lines.push(line.to_owned());
                return lines;
            }
        };
        let limit = format!("    ERROR_LIMIT: {share}%");
        lines.push(format!("{limit:<40}# of a batch's messages may be refused; one more fails it"));
        lines
    }

    fn columns(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.table_exists {
            lines
                .push("      # the table does not exist yet: these are the types that the messages suggest".to_owned());
        }
        lines.push("      COLUMNS:".to_owned());
        for column in &self.plan.columns {
            let named = column.name.as_ref().map_or("__IGNORED__".to_owned(), name);
            let path = column.path.as_ref().map_or(String::new(), |path| format!(", PATH: [{}]", yaml(path)));
            let written = format!("        - {{NAME: {}, TYPE: {}{path}}}", named, yaml(&column.sql_type));
            let note = if column.note.is_empty() { String::new() } else { format!("  # {}", comment(&column.note)) };
            lines.push(written + &note);
        }
        for field in &self.plan.left_out {
            let kind = field.seen.kind.sql_type();
            lines.push(format!("      # no column of the table has this name: {} ({kind})", comment(&field.name)));
        }
        lines
    }

    fn format(&self) -> Vec<String> {
        let option = |name: &str, lines: &[String]| {
            let head = format!("      {name}:");
            std::iter::once(head).chain(lines.iter().map(|line| format!("        {line}"))).collect::<Vec<_>>()
        };
        let delimited = |delimiter: char| vec![format!("DELIMITER: {}", quoted(&delimiter.to_string()))];
        let csv = |delimiter: char| {
            let mut lines = if delimiter == ',' { Vec::new() } else { delimited(delimiter) };
            if self.narrower > 0 {
                let how_many = format!("{} of {} rows have fewer fields than the widest", self.narrower, self.sampled);
                lines.push(format!("FILL_MISSING_FIELDS: true         # {how_many}: NULL"));
            }
            if lines.is_empty() { lines } else { option("CSV_OPTION", &lines) }
        };
        let (format, mut options) = match (self.shape, &self.registry) {
            (Shape::Json, _) => ("json", Vec::new()),
            (Shape::Jsonl, _) => ("jsonl", Vec::new()),
            (Shape::Csv { delimiter }, _) => ("csv", csv(delimiter)),
            (Shape::Delimited { delimiter }, _) => ("delimited", option("DELIMITED_OPTION", &delimited(delimiter))),
            (Shape::Framed, Some((url, user, kind))) => {
                let mut lines = vec![format!("SCHEMA_REGISTRY_ADDR: {}", yaml(url))];
                if let Some(user) = user {
                    lines.push(format!("SCHEMA_REGISTRY_USER: {}", yaml(user)));
                    lines.push("# SCHEMA_REGISTRY_PASSWORD: ${VARIABLE}".to_owned());
                }
                match kind {
                    SchemaKind::Protobuf => ("protobuf", option("PROTOBUF_OPTION", &lines)),
                    SchemaKind::Avro | SchemaKind::Json => ("avro", option("AVRO_OPTION", &lines)),
                }
            }
            (Shape::Framed | Shape::Binary, _) => ("binary", Vec::new()),
        };
        options.insert(0, format!("      FORMAT: {format}"));
        options
    }

    fn mapping(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.plan.has_expressions() {
            lines.push(
                "    MAPPING:                            # complete: columns that are not here stay empty".to_owned(),
            );
            for column in &self.plan.columns {
                let Some(ident) = &column.name else { continue };
                let expression = column.expression.clone().unwrap_or_else(|| ident.to_string());
                lines.push(format!("      - {{NAME: {}, EXPRESSION: {}}}", name(ident), quoted(&expression)));
            }
        } else {
            lines.push("    # no MAPPING: columns of one name belong together".to_owned());
        }
        for column in &self.plan.unfilled {
            let stays = match (column.is_generated, column.has_default, column.is_not_null) {
                (true, ..) => "is computed by the database",
                (_, true, _) => "gets its default",
                (_, _, true) => "may not be NULL, and nothing fills it: add it, or rows are refused",
                _ => "stays NULL",
            };
            lines.push(format!("    # column {} {stays}", comment(&column.name.to_string())));
        }
        lines
    }

    /// The statement that makes the table.
    pub fn create_table(&self, is_greenplum: bool) -> String {
        let mut text = String::new();
        let columns = self.plan.columns.iter().filter_map(|column| Some((column.name.as_ref()?, column)));
        let columns: Vec<_> =
            columns.map(|(name, column)| (format!("    {name} {}", column.sql_type), &column.note)).collect();
        let _infallible = writeln!(text, "CREATE TABLE {} (", self.table);
        for (at, (column, note)) in columns.iter().enumerate() {
            let comma = if at + 1 < columns.len() { "," } else { "" };
            let note = if note.is_empty() { String::new() } else { format!("  -- {}", comment(note)) };
            let _infallible = writeln!(text, "{column}{comma}{note}");
        }
        if !is_greenplum {
            text.push_str(");\n");
            return text;
        }
        if let Some(key) = self.plan.key() {
            let _infallible = writeln!(text, "-- or DISTRIBUTED BY ({key}), if rows are joined or merged by it");
        }
        text.push_str(") DISTRIBUTED RANDOMLY;\n");
        text
    }
}

/// In quotes, whatever it is: strings of JSON are strings of YAML, but for letters that it wants written out.
fn quoted(text: &str) -> String {
    without_odd(&serde_json::Value::from(text).to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::expect;
    use proptest::prelude::*;

    use super::super::infer::{Kind, Seen};
    use super::super::shape::Field;
    use super::*;
    use crate::config;
    use crate::greenplum::TargetColumn;

    fn table() -> TableName {
        TableName { schema: Ident::exact("shop"), table: Ident::exact("Orders") }
    }

    fn draft<'a>(shape: Shape, table: &'a TableName, plan: &'a Plan) -> Draft<'a> {
        Draft {
            host: "mdw",
            port: 5432,
            user: "gpadmin",
            database: "test",
            brokers: "kafka1:9092,kafka2:9092",
            topic: "orders",
            table,
            table_exists: true,
            shape,
            registry: None,
            sampled: 1000,
            has_keys: true,
            tombstones: 0,
            narrower: 0,
            refused: None,
            plan,
        }
    }

    fn field(name: &str, kind: Kind, text: &str) -> Field {
        let mut seen = Seen::default();
        seen.add(kind, text);
        Field { name: name.to_owned(), seen, is_nullable: false }
    }

    #[test]
    fn a_file_and_a_statement() {
        let column = |name: &str, sql_type: &str, is_not_null| TargetColumn {
            name: Ident::exact(name),
            sql_type: sql_type.to_owned(),
            is_not_null,
            has_default: false,
            is_generated: false,
        };
        let columns = [
            column("id", "bigint", true),
            column("Customer", "text", false),
            column("at", "timestamp with time zone", false),
            column("region", "text", true),
        ];
        let fields = [
            field("id", Kind::Int, "1"),
            field("customer", Kind::Text, "x"),
            field("at", Kind::BigInt, "1700000000000"),
            field("other", Kind::Json, "{}"),
        ];
        let table = table();
        let plan = Plan::by_name(&fields, &columns);
        expect![[r##"
            # Written by `gpkafka init` from 1000 messages of the topic; `gpkafka help config` explains
            # every key. Look through the columns, then run `gpkafka dryrun --connect` with this file.
            DATABASE: test
            USER: gpadmin
            # no PASSWORD: it comes from PGPASSWORD or ~/.pgpass, or write PASSWORD: ${VARIABLE}
            HOST: mdw
            PORT: 5432
            VERSION: 2
            KAFKA:
              INPUT:
                SOURCE:
                  BROKERS: "kafka1:9092,kafka2:9092"
                  TOPIC: orders
                VALUE:
                  COLUMNS:
                    - {NAME: id, TYPE: bigint, PATH: [id]}  # integer in the messages
                    - {NAME: "\"Customer\"", TYPE: text, PATH: [customer]}
                    - {NAME: at, TYPE: bigint, PATH: [at]}
                  # no column of the table has this name: other (json)
                  FORMAT: json
                # messages have keys: a block KEY like VALUE makes columns of them
                # ERROR_LIMIT: 25                   # messages of a batch that may be refused; 0 by default
              OUTPUT:
                SCHEMA: shop
                TABLE: "\"Orders\""
                MAPPING:                            # complete: columns that are not here stay empty
                  - {NAME: id, EXPRESSION: "\"id\""}
                  - {NAME: "\"Customer\"", EXPRESSION: "\"Customer\""}
                  - {NAME: at, EXPRESSION: "to_timestamp(\"at\" / 1000.0)"}
                # column "region" may not be NULL, and nothing fills it: add it, or rows are refused
              COMMIT:
                MINIMAL_INTERVAL: 5000              # milliseconds that a batch is open
        "##]]
        .assert_eq(&draft(Shape::Json, &table, &plan).text());
        let plan = Plan::of_new(&fields, true);
        expect![[r#"
            CREATE TABLE "shop"."Orders" (
                "id" integer,
                "customer" text,
                "at" bigint,
                "other" json
            -- or DISTRIBUTED BY ("id"), if rows are joined or merged by it
            ) DISTRIBUTED RANDOMLY;
        "#]]
        .assert_eq(&draft(Shape::Json, &table, &plan).create_table(true));
    }

    #[test]
    fn what_would_be_refused_sets_the_limit() {
        let (table, plan) = (table(), Plan::of_new(&[field("a", Kind::Int, "1")], true));
        let limit = |count: usize, tombstones| {
            let mut draft = draft(Shape::Json, &table, &plan);
            let refused = |count| Refused { count, place: Default::default(), reason: "json  no\nobject".to_owned() };
            (draft.refused, draft.tombstones) = ((count > 0).then(|| refused(count)), tombstones);
            let text = draft.text();
            let job =
                config::parse(Path::new("job.yaml"), text.clone().into_bytes(), &config::Variables::new()).unwrap();
            let from = text.find("    # messages have keys").unwrap();
            let lines = text[from..text.find("  OUTPUT:").unwrap()].lines();
            (lines.map(|line| line.trim_start().to_owned() + "\n").collect::<String>(), job.error_limit)
        };
        let percent = config::ErrorLimit::Percent;
        assert_eq!(limit(0, 0).1, config::ErrorLimit::Records(0));
        assert_eq!(
            [1, 80, 501, 999].map(|count| limit(count, 0).1),
            [percent(10), percent(16), percent(100), percent(100)]
        );
        let (text, at) = limit(1, 20);
        assert_eq!(at, percent(100));
        expect![[r#"
            # messages have keys: a block KEY like VALUE makes columns of them
            # not all messages are rows: 1 of 1000 is none (partition 0, offset 0)
            # refused for: json  no\nobject
            # 20 of 1020 messages have no value: refused without a block KEY;
            # with one such a message is a row of its key, and columns of VALUE are NULL
            ERROR_LIMIT: 100%                   # of a batch's messages may be refused; one more fails it
        "#]]
        .assert_eq(&text);
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop::sample::select(vec![
            Kind::Nothing,
            Kind::Int,
            Kind::BigInt,
            Kind::Numeric,
            Kind::Timestamptz,
            Kind::Text,
            Kind::Json,
        ])
    }

    proptest! {
        /// Whatever fields and tables are called, the file is one, and says what it was made from.
        #[test]
        fn every_draft_is_a_job_file(
            names in prop::collection::hash_set("[a-zA-Z_ .:'\"#é{}\\[\\],\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}😀-]{1,12}|null|true|1", 1..8),
            kinds in prop::collection::vec(kind(), 8),
            targets in prop::collection::vec("[a-zA-Z_ '\"#é\u{2028}\u{feff}\u{fffe}]{1,8}", 0..4),
            topic in "[a-zA-Z0-9._-]{1,20}",
            is_csv in any::<bool>(),
        ) {
            let fields: Vec<_> = names.iter().filter(|name| !name.contains("{{")).zip(kinds)
                .map(|(name, kind)| field(name, kind, "1700000000000")).collect();
            let types = ["timestamp without time zone", "bigint", "text"];
            let mut columns: Vec<TargetColumn> = Vec::new();
            for (name, sql_type) in targets.iter().chain(names.iter().take(2)).zip(types.iter().cycle()) {
                if !columns.iter().any(|column| column.name.as_str() == name) && !name.contains("{{") {
                    let (name, sql_type) = (Ident::exact(name.as_str()), (*sql_type).to_owned());
                    columns.push(TargetColumn { name, sql_type, is_not_null: true, has_default: false, is_generated: false });
                }
            }
            let shape = if is_csv { Shape::Csv { delimiter: '\t' } } else { Shape::Json };
            let table = table();
            for plan in [if is_csv { Plan::by_place(&fields, &columns) } else { Plan::by_name(&fields, &columns) }, Plan::of_new(&fields, !is_csv)] {
                prop_assume!(plan.columns.iter().any(|column| column.name.is_some()));
                let mut draft = draft(shape, &table, &plan);
                draft.topic = &topic;
                let text = draft.text();
                let job = config::parse(Path::new("job.yaml"), text.clone().into_bytes(), &config::Variables::new());
                let job = job.map_err(|refusal| TestCaseError::fail(format!("{}\n{text}", config::render(&refusal, false, false))))?;
                prop_assert_eq!(job.target(), &table);
                prop_assert_eq!(&job.source.topic, &topic);
                let read = job.value.unwrap().columns.unwrap();
                let expected: Vec<_> = plan.columns.iter().map(|column| column.name.clone()).collect();
                prop_assert_eq!(read.iter().map(|column| column.name.clone()).collect::<Vec<_>>(), expected);
                for (read, planned) in read.iter().zip(&plan.columns) {
                    let path = planned.path.clone().into_iter().collect::<Vec<_>>();
                    prop_assert_eq!(read.path.clone().unwrap_or_default(), path, "{}", text);
                }
            }
        }
    }
}
