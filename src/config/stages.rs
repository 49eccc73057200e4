//! What each stage gets to know of a job: its own `Settings`, filled in from the file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::job::{Content, Csv, Delimited, Format, Job, MetaColumn, RegistryAt, SchemaSource, SourceColumn};
use crate::schema::{Schema, SchemaKind};
use crate::table::{Column, Ident};
use crate::{decode, greenplum, kafka, registry, transform};

impl Job {
    /// For the database stage. The address that segments call and the executable come from elsewhere.
    pub fn greenplum_settings(&self) -> greenplum::Settings {
        let connection = &self.connection;
        let target = self.target().clone();
        let mut settings =
            greenplum::Settings::new(&connection.host, connection.port, &connection.user, &connection.database, target);
        settings.password.clone_from(&connection.password);
        settings.tls.clone_from(&connection.tls);
        settings.metadata_schema.clone_from(&self.metadata_schema);
        settings.columns = self.source_columns();
        settings.documents = self.documents();
        settings.outputs.clone_from(&self.outputs);
        settings.input_filter.clone_from(&self.filter);
        settings.failing = self.commit.failing;
        settings.dead_letters.clone_from(&self.dead_letters);
        settings.formatter = self.formatter();
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

    /// Columns that are whole JSON documents to the database.
    fn documents(&self) -> Vec<Ident> {
        let document = |part: &Content| {
            let is_json = matches!(part.format, Format::Json | Format::Jsonl { .. });
            let column = part.columns.as_ref().filter(|_| is_json)?.first()?;
            let is_whole = matches!(&columns(part, &[])[..], [only] if only.path.is_empty());
            let is_text_inside = column.sql_type.trim().eq_ignore_ascii_case("json");
            column.name.clone().filter(|_| is_whole && is_text_inside)
        };
        [&self.value, &self.key].into_iter().flatten().filter_map(document).collect()
    }

    fn formatter(&self) -> Option<greenplum::Formatter> {
        let Some(Content { format: Format::Custom { formatter, options }, .. }) = &self.value else { return None };
        let encoding = self.encoding.map_or("UTF8", |charset| charset.name).to_owned();
        Some(greenplum::Formatter { name: formatter.clone(), options: options.clone(), encoding })
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

    /// For the registry stage: of keys, and of values.
    pub fn registry_settings(&self) -> [Option<registry::Settings>; 2] {
        [&self.key, &self.value].map(|part| match part.as_ref().map(|part| &part.format) {
            Some(Format::Avro { schema: SchemaSource::Registry(at), .. }) => Some(registry_at(at)),
            Some(Format::Protobuf { schema: SchemaSource::Registry(at), .. }) => Some(registry_at(at)),
            _ => None,
        })
    }

    /// For the transform stage: the module, read and checked, where the job has one.
    ///
    /// # Errors
    /// Its file cannot be read, or is no module.
    pub fn transform_program(&self) -> Result<Option<transform::Program>, transform::Error> {
        let Some(plugin) = &self.transformer else { return Ok(None) };
        let settings = transform::Settings {
            on_init: plugin.on_init.clone(),
            properties: serde_json::json!(plugin.properties).to_string(),
            ..transform::Settings::new(&plugin.path, &plugin.transform)
        };
        let bytes = module_bytes(&plugin.path)
            .map_err(|error| transform::Error { path: plugin.path.clone(), text: error.to_string() })?;
        transform::Program::new(&bytes, settings).map(Some)
    }

    /// For the decode stage. `own` are the target's columns, for a part whose columns the file does not name.
    ///
    /// # Errors
    /// A schema's file cannot be read, or is none.
    pub fn decode_settings(&self, own: &[Column]) -> Result<decode::Settings, SchemaFile> {
        let part = |part: &Content| Ok(decode::Content { format: format(&part.format)?, columns: columns(part, own) });
        Ok(decode::Settings {
            value: self.value.as_ref().map(part).transpose()?,
            key: self.key.as_ref().map(part).transpose()?,
            meta: self.meta.iter().map(meta).collect(),
            topic: self.source.topic.clone(),
            charset: self.encoding,
        })
    }
}

/// No module is longer; it keeps a device or a data file from being read whole.
const MODULE_BYTES_MAX: u64 = 64 << 20;

fn module_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MODULE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MODULE_BYTES_MAX {
        true => Err(io::Error::other("it is longer than 64 MiB")),
        false => Ok(bytes),
    }
}

/// What is wrong with a file that holds a schema.
#[derive(Debug, thiserror::Error)]
#[error("the schema in {} cannot be used: {text}", path.display())]
pub struct SchemaFile {
    pub path: PathBuf,
    pub text: String,
}

fn format(format: &Format) -> Result<decode::Format, SchemaFile> {
    Ok(match format {
        Format::Csv(csv) => decode::Format::Csv(csv_options(csv)),
        Format::Delimited(delimited) => decode::Format::Delimited(delimited_options(delimited)),
        Format::Json => decode::Format::Json,
        Format::Jsonl { newline } => decode::Format::Jsonl { newline: newline.clone() },
        Format::Binary => decode::Format::Binary,
        Format::Avro { schema, bytes_to_base64 } => {
            let framing = match schema {
                SchemaSource::Registry(_) => decode::AvroFraming::Confluent,
                SchemaSource::File(path) => decode::AvroFraming::Fixed(avro_schema(path)?),
            };
            decode::Format::Avro(decode::AvroOptions { framing, bytes_to_base64: *bytes_to_base64 })
        }
        Format::Protobuf { schema, message } => {
            let source = match schema {
                SchemaSource::Registry(_) => decode::ProtobufSource::Confluent,
                SchemaSource::File(path) => protobuf_schema(path, message.as_deref().unwrap_or_default())?,
            };
            decode::Format::Protobuf(decode::ProtobufOptions { source })
        }
        Format::Custom { .. } => decode::Format::Custom,
    })
}

fn avro_schema(path: &Path) -> Result<Schema, SchemaFile> {
    let wrong = |text: String| SchemaFile { path: path.to_owned(), text };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let schema = Schema::alone(SchemaKind::Avro, text);
    decode::check_avro(&schema).map_err(wrong)?;
    Ok(schema)
}

fn protobuf_schema(path: &Path, message: &str) -> Result<decode::ProtobufSource, SchemaFile> {
    let wrong = |text: String| SchemaFile { path: path.to_owned(), text };
    let descriptor_set = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    decode::check_protobuf(&descriptor_set, message).map_err(wrong)?;
    Ok(decode::ProtobufSource::Fixed { descriptor_set, message: message.to_owned() })
}

/// The only column of a message that can be a document takes all of it, where its type can hold one and no path says
/// otherwise; every other is found by its path, or by its name.
fn columns(part: &Content, own: &[Column]) -> Vec<decode::Column> {
    let (mut columns, is_text, has_path): (Vec<_>, _, _) = match &part.columns {
        Some(columns) => (
            columns.iter().map(column).collect(),
            columns.iter().any(|column| is_text(&column.sql_type)),
            columns.iter().any(|column| column.path.is_some()),
        ),
        None => (own.iter().map(own_column).collect(), own.iter().any(|column| is_text(&column.sql_type)), false),
    };
    let is_json = matches!(part.format, Format::Json | Format::Jsonl { .. });
    let is_document = is_json || matches!(part.format, Format::Avro { .. } | Format::Protobuf { .. });
    if let [column] = columns.as_mut_slice()
        && !has_path
        && ((is_document && column.kind == decode::ColumnKind::Json) || (is_json && is_text))
    {
        column.path.clear();
    }
    columns
}

fn is_text(sql_type: &str) -> bool {
    sql_type.trim().eq_ignore_ascii_case("text")
}

fn column(column: &SourceColumn) -> decode::Column {
    let name = column.name.as_ref().map_or("", |name| name.as_str());
    decode::Column {
        name: name.to_owned(),
        is_ignored: column.name.is_none(),
        path: column.path.clone().unwrap_or_else(|| vec![name.to_owned()]),
        kind: decode::ColumnKind::of(&column.sql_type),
    }
}

fn own_column(column: &Column) -> decode::Column {
    decode::Column { kind: decode::ColumnKind::of(&column.sql_type), ..decode::Column::text(column.name.as_str()) }
}

fn meta(column: &MetaColumn) -> decode::Meta {
    let sql_type = column.sql_type.to_ascii_lowercase();
    decode::Meta { field: column.field, is_number: NUMBERS.iter().any(|number| sql_type.starts_with(number)) }
}

/// Types that take a timestamp as a number.
const NUMBERS: [&str; 6] = ["int", "bigint", "numeric", "decimal", "double", "float"];

fn registry_at(at: &RegistryAt) -> registry::Settings {
    registry::Settings {
        user: at.user.clone(),
        password: at.password.clone(),
        ca_file: at.ca_file.clone(),
        certificate_file: at.certificate_file.clone(),
        key_file: at.key_file.clone(),
        min_tls_version: at.min_tls_version,
        ..registry::Settings::new(at.urls.iter().cloned())
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

fn delimited_options(delimited: &Delimited) -> decode::DelimitedOptions {
    decode::DelimitedOptions {
        delimiter: delimited.delimiter.clone(),
        eol_prefix: delimited.eol_prefix.clone(),
        quote: delimited.quote,
        escape: delimited.escape,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Variables, parse};
    use crate::decode;

    #[test]
    fn ignored_columns_are_never_sent() {
        let text = include_str!("reference.yaml");
        let job = parse(Path::new("reference.yaml"), text.as_bytes().to_vec(), &Variables::new()).unwrap();
        let sent = job.greenplum_settings().columns.unwrap();
        assert_eq!(sent.iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["id", "Comment", "amount"]);
    }

    #[test]
    fn delimited_options_reach_the_decoder() {
        let text = include_str!("reference.yaml");
        let from = text.find("      FORMAT: csv").unwrap();
        let to = text.find("      # DELIMITED_OPTION").unwrap();
        let options = r"{DELIMITER: '|\x01', EOL_PREFIX: '\r', QUOTE: '\x02', ESCAPE: '\'}";
        let block = format!("      FORMAT: delimited\n      DELIMITED_OPTION: {options}\n");
        let text = [&text[..from], &block, &text[to..]].concat();
        let job = parse(Path::new("reference.yaml"), text.into_bytes(), &Variables::new()).unwrap();
        let expected = decode::DelimitedOptions {
            delimiter: b"|\x01".to_vec(),
            eol_prefix: b"\r".to_vec(),
            quote: Some(2),
            escape: Some(b'\\'),
        };
        assert_eq!(job.decode_settings(&[]).unwrap().value.unwrap().format, decode::Format::Delimited(expected));
    }
}
