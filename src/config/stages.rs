//! What each stage gets to know of a job: its own `Settings`, filled in from the file.

use super::job::{Csv, Format, Job};
use crate::table::{Column, TableName};
use crate::{decode, greenplum, kafka};

impl Job {
    /// For the database stage. The address that segments call and the executable come from elsewhere.
    pub fn greenplum_settings(&self) -> greenplum::Settings {
        let connection = &self.connection;
        let target = TableName { schema: self.target.schema.clone(), table: self.target.table.clone() };
        let mut settings =
            greenplum::Settings::new(&connection.host, connection.port, &connection.user, &connection.database, target);
        settings.password = connection.password.as_ref().map(|password| password.reveal().to_owned());
        settings.metadata_schema.clone_from(&self.metadata_schema);
        settings.columns = self.value.columns.as_ref().map(|columns| {
            let sent = columns.iter().filter_map(|column| Some((column.name.clone()?, column.sql_type.clone())));
            sent.map(|(name, sql_type)| Column { name, sql_type }).collect()
        });
        settings.outputs[0].mapping = self
            .mapping
            .iter()
            .map(|map| greenplum::Mapping { column: map.column.clone(), expression: map.expression.clone() })
            .collect();
        settings.input_filter.clone_from(&self.filter);
        settings
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

    /// For the decode stage. `columns` are the source's, or the target's where the file names none.
    pub fn decode_settings(&self, columns: Vec<decode::Column>) -> decode::Settings {
        let format = match &self.value.format {
            Format::Csv(csv) => decode::Format::Csv(csv_options(csv)),
            Format::Delimited { delimiter } => decode::Format::Delimited { delimiter: *delimiter },
            Format::Json => decode::Format::Json,
            Format::Jsonl { newline } => decode::Format::Jsonl { newline: newline.clone() },
            Format::Binary => decode::Format::Binary,
        };
        decode::Settings::of_value(format, columns)
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
