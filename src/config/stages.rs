//! What each stage gets to know of a job: its own `Settings`, filled in from the file.

use super::job::{Content, Csv, Format, Job, MetaColumn, SourceColumn};
use crate::table::Column;
use crate::{decode, greenplum, kafka};

impl Job {
    /// For the database stage. The address that segments call and the executable come from elsewhere.
    pub fn greenplum_settings(&self) -> greenplum::Settings {
        let connection = &self.connection;
        let target = self.target().clone();
        let mut settings =
            greenplum::Settings::new(&connection.host, connection.port, &connection.user, &connection.database, target);
        settings.password = connection.password.as_ref().map(|password| password.reveal().to_owned());
        settings.metadata_schema.clone_from(&self.metadata_schema);
        settings.columns = self.source_columns();
        let output = &self.outputs[0];
        settings.mapping = output
            .mapping
            .iter()
            .map(|map| greenplum::Mapping { column: map.column.clone(), expression: map.expression.clone() })
            .collect();
        settings.filter = both(self.filter.as_deref(), output.filter.as_deref());
        settings
    }

    /// What is sent to the database, in the order of the encoded fields: value, key, meta. `None`: the target's own.
    fn source_columns(&self) -> Option<Vec<Column>> {
        let mut sent = Vec::new();
        for part in [&self.value, &self.key].into_iter().flatten() {
            let columns = part.columns.as_ref()?.iter();
            sent.extend(
                columns.filter_map(|column| {
                    Some(Column { name: column.name.clone()?, sql_type: column.sql_type.clone() })
                }),
            );
        }
        sent.extend(
            self.meta.iter().map(|column| Column { name: column.name.clone(), sql_type: column.sql_type.clone() }),
        );
        Some(sent)
    }

    /// For the Kafka stage: how much librdkafka may hold, and how many queues share it, is the job's to say.
    pub fn kafka_settings(&self, queue_bytes: usize, workers: usize) -> kafka::Settings {
        kafka::Settings {
            brokers: self.source.brokers.clone(),
            topic: self.source.topic.clone(),
            properties: self.source.properties.clone(),
            queue_bytes,
            workers,
        }
    }

    /// For the decode stage. `own` are the target's columns, for a part whose columns the file does not name.
    pub fn decode_settings(&self, own: &[Column]) -> decode::Settings {
        let part = |part: &Content| decode::Content { format: format(&part.format), columns: columns(part, own) };
        decode::Settings {
            value: self.value.as_ref().map(part),
            key: self.key.as_ref().map(part),
            meta: self.meta.iter().map(meta).collect(),
            topic: self.source.topic.clone(),
            charset: self.encoding,
        }
    }
}

fn format(format: &Format) -> decode::Format {
    match format {
        Format::Csv(csv) => decode::Format::Csv(csv_options(csv)),
        Format::Delimited { delimiter } => decode::Format::Delimited { delimiter: *delimiter },
        Format::Json => decode::Format::Json,
        Format::Jsonl { newline } => decode::Format::Jsonl { newline: newline.clone() },
        Format::Binary => decode::Format::Binary,
    }
}

fn columns(part: &Content, own: &[Column]) -> Vec<decode::Column> {
    match &part.columns {
        Some(columns) => columns.iter().map(column).collect(),
        None => own.iter().map(|column| decode::Column::text(column.name.as_str())).collect(),
    }
}

fn column(column: &SourceColumn) -> decode::Column {
    decode::Column {
        is_ignored: column.name.is_none(),
        ..decode::Column::text(column.name.as_ref().map_or("", |name| name.as_str()))
    }
}

fn meta(column: &MetaColumn) -> decode::Meta {
    let sql_type = column.sql_type.to_ascii_lowercase();
    decode::Meta { field: column.field, is_number: NUMBERS.iter().any(|number| sql_type.starts_with(number)) }
}

/// Types that take a timestamp as a number.
const NUMBERS: [&str; 6] = ["int", "bigint", "numeric", "decimal", "double", "float"];

/// Rows must pass both filters. A line break ends a comment that a filter may end in.
fn both(input: Option<&str>, output: Option<&str>) -> Option<String> {
    match (input, output) {
        (Some(input), Some(output)) => Some(format!("({input}\n) AND ({output}\n)")),
        (input, output) => input.or(output).map(str::to_owned),
    }
}

fn csv_options(csv: &Csv) -> decode::CsvOptions {
    decode::CsvOptions {
        delimiter: csv.delimiter,
        quote: csv.quote,
        escape: csv.escape,
        null_string: csv.null_string.clone(),
        fill_missing_fields: csv.fill_missing_fields,
        force_not_null: csv.force_not_null.iter().map(|name| name.as_str().to_owned()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Variables, parse};

    #[test]
    fn ignored_columns_are_never_sent() {
        let text = include_str!("reference.yaml");
        let job = parse(Path::new("reference.yaml"), text.as_bytes().to_vec(), &Variables::new()).unwrap();
        let sent = job.greenplum_settings().columns.unwrap();
        assert_eq!(sent.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "Comment", "amount"]);
    }
}
