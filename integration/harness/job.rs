//! Job files: one topic into one table, CSV and every default unless a test says otherwise.

use super::database::Database;
use super::topic::Topic;

/// A job file that is being put together.
#[derive(Debug, Clone)]
pub struct Job {
    connection: String,
    brokers: String,
    topic: String,
    properties: Vec<(String, String)>,
    schema: String,
    table: String,
    columns: Vec<(String, String)>,
    format: String,
    value: Vec<String>,
    source: Vec<String>,
    input: Vec<String>,
    output: Vec<String>,
    commit: Vec<String>,
    dead_letter: Vec<String>,
    task: Vec<String>,
    around: Vec<(String, String)>,
}

impl Job {
    /// Loads `topic` into `schema.table`. `columns` are the message's, as in CREATE TABLE: `a int, b text`.
    pub fn new(db: &Database, topic: &Topic<'_>, schema: &str, table: &str, columns: &str) -> Self {
        let column = |column: &str| {
            let (name, sql_type) = column.trim().split_once(' ').expect("a column is a name and a type");
            (name.to_owned(), sql_type.to_owned())
        };
        let properties = topic.kafka.version.properties().iter();
        Self {
            connection: db.yaml(),
            brokers: topic.kafka.bootstrap.clone(),
            topic: topic.name.clone(),
            properties: properties.map(|&(name, value)| (name.to_owned(), value.to_owned())).collect(),
            schema: schema.to_owned(),
            table: table.to_owned(),
            columns: columns.split(',').map(column).collect(),
            format: "csv".to_owned(),
            value: Vec::new(),
            source: Vec::new(),
            input: Vec::new(),
            output: Vec::new(),
            commit: Vec::new(),
            dead_letter: Vec::new(),
            task: Vec::new(),
            around: Vec::new(),
        }
    }

    /// Another format than CSV.
    pub fn format(mut self, format: &str) -> Self {
        format.clone_into(&mut self.format);
        self
    }

    /// A line under VALUE, like `CSV_OPTION: {DELIMITER: ';'}`.
    pub fn value(mut self, line: &str) -> Self {
        self.value.push(line.to_owned());
        self
    }

    /// The role that loads.
    pub fn user(mut self, user: &str) -> Self {
        self.connection = self
            .connection
            .lines()
            .filter(|line| !line.starts_with("USER:"))
            .fold(format!("USER: {user}\n"), |text, line| text + line + "\n");
        self
    }

    /// A line under SOURCE, like `FALLBACK_OFFSET: earliest`.
    pub fn source(mut self, line: &str) -> Self {
        self.source.push(line.to_owned());
        self
    }

    /// A line under INPUT, like `ERROR_LIMIT: 5`.
    pub fn input(mut self, line: &str) -> Self {
        self.input.push(line.to_owned());
        self
    }

    /// A line under OUTPUT, like `MAPPING: {a: a}`.
    pub fn output(mut self, line: &str) -> Self {
        self.output.push(line.to_owned());
        self
    }

    /// A line under COMMIT, like `MAX_ROW: 100`.
    pub fn commit(mut self, line: &str) -> Self {
        self.commit.push(line.to_owned());
        self
    }

    /// Refused records go into this table.
    pub fn dead_letter(mut self, table: &str) -> Self {
        self.dead_letter.push(format!("TABLE: {table}"));
        self
    }

    /// A line under TASK, like `PREPARE_SQL: SELECT 1`.
    pub fn task(mut self, line: &str) -> Self {
        self.task.push(line.to_owned());
        self
    }

    /// A line under SCHEDULE or ALERT, like `MAX_RETRIES: 3`.
    pub fn around(mut self, block: &str, line: &str) -> Self {
        self.around.push((block.to_owned(), line.to_owned()));
        self
    }

    /// One of librdkafka's properties.
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    fn top_block(&self, key: &str) -> String {
        let lines = self.around.iter().filter(|(block, _)| block == key);
        let text: String = lines.map(|(_, line)| format!("  {line}\n")).collect();
        if text.is_empty() { text } else { format!("{key}:\n{text}") }
    }

    /// The file.
    pub fn text(&self) -> String {
        let block = |key: &str, lines: &[String]| match lines {
            [] => String::new(),
            lines => lines.iter().fold(format!("  {key}:\n"), |text, line| format!("{text}    {line}\n")),
        };
        let deep = |lines: &[String]| lines.iter().map(|line| format!("      {line}\n")).collect::<String>();
        let columns: String =
            self.columns.iter().map(|(name, kind)| format!("        - {{NAME: {name}, TYPE: '{kind}'}}\n")).collect();
        let properties: Vec<_> = self.properties.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let mut output = vec![format!("SCHEMA: {}", self.schema), format!("TABLE: {}", self.table)];
        output.extend(self.output.iter().cloned());
        format!(
            "{}VERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE:\n      BROKERS: {}\n      TOPIC: {}\n{}    VALUE:\n      COLUMNS:\n{columns}      FORMAT: {}\n{}{}{}{}{}{}{}{}",
            self.connection,
            self.brokers,
            self.topic,
            deep(&self.source),
            self.format,
            deep(&self.value),
            self.input.iter().map(|line| format!("    {line}\n")).collect::<String>(),
            block("OUTPUT", &output),
            block("DEAD_LETTER", &self.dead_letter),
            block("COMMIT", &self.commit),
            block("TASK", &self.task),
            block("PROPERTIES", &properties),
            ["SCHEDULE", "ALERT"].map(|key| self.top_block(key)).concat(),
        )
    }
}
