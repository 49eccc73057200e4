//! Fields of messages that begin with the id of a schema: by the registry, and by what the messages hold.

use std::collections::BTreeSet;

use super::super::Exit;
use super::infer::{Kind, Seen};
use super::shape::{self, Field};
use crate::decode::{self, AvroFraming, AvroOptions, Column, Format, Part, ProtobufOptions, ProtobufSource};
use crate::record::Record;
use crate::registry::{Error, Registry, Settings};
use crate::row::Rows;
use crate::schema::{Schema, SchemaKind};

/// Schemas of one sample: a topic has a few.
const SCHEMAS_MAX: usize = 100;

/// What a registry knows of a sample.
pub struct Framed {
    /// Without credentials.
    pub url: String,
    /// Who asks, where the address says so.
    pub user: Option<String>,
    pub kind: SchemaKind,
    pub fields: Vec<Field>,
}

/// Asks for the schemas that the messages name, and for the newest one of the topic's values.
///
/// # Errors
/// 64 without a registry; 1 for what it says, and for messages that are not what it says.
pub fn look(url: Option<&str>, topic: &str, values: &[Vec<u8>]) -> Result<Framed, Exit> {
    let ids: BTreeSet<u32> = values.iter().filter_map(|value| id_of(value)).collect();
    let Some(url) = url else {
        return Err(Exit::usage(
            "the messages begin with a zero and the id of a schema, as a registry's do: give its address after --registry, or say --format binary",
        ));
    };
    if ids.len() > SCHEMAS_MAX {
        let text = format!(
            "the messages name {} schemas, which a registry would have been asked for; say --format binary",
            ids.len()
        );
        return Err(Exit::failed(text));
    }
    let registry = Registry::new(&Settings::new([url])).map_err(Exit::failed)?;
    let mut schemas = Vec::new();
    for id in ids {
        schemas.push((id, registry.schema(id).map_err(Exit::failed)?));
    }
    let Some(newest) = schemas.last().map(|(_, schema)| (**schema).clone()) else {
        return Err(Exit::failed("no message names a schema"));
    };
    let documents =
        documents(&newest, &schemas.iter().map(|(id, schema)| (*id, &**schema)).collect::<Vec<_>>(), values)?;
    let mut fields = shape::of_objects(documents.iter().map(Vec::as_slice));
    let latest = match registry.latest(&format!("{topic}-value")) {
        Ok((_, schema)) if schema.kind == newest.kind => schema,
        // registries may name subjects otherwise
        Ok(_) | Err(Error::NotFound { .. }) => newest.clone(),
        Err(error) => return Err(Exit::failed(error)),
    };
    if newest.kind == SchemaKind::Avro {
        by_schema(&mut fields, &latest);
    }
    let (url, user) = without_credentials(url);
    Ok(Framed { url, user, kind: newest.kind, fields })
}

fn id_of(value: &[u8]) -> Option<u32> {
    value.get(1..5)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The messages as JSON; those that cannot be read are left out, if others can.
fn documents(newest: &Schema, schemas: &[(u32, &Schema)], values: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Exit> {
    let format = match newest.kind {
        SchemaKind::Avro => Format::Avro(AvroOptions { framing: AvroFraming::Confluent, bytes_to_base64: true }),
        SchemaKind::Protobuf => Format::Protobuf(ProtobufOptions { source: ProtobufSource::Confluent }),
        SchemaKind::Json => {
            let text = "the schema of the messages is one of JSON, and they begin with its id, which no format of a job file takes off; say --format binary";
            return Err(Exit::failed(text));
        }
    };
    let mut decoder = decode::decoder(&decode::Settings::of_value(format, vec![Column::document("data")]));
    for (id, schema) in schemas {
        decoder.learn(Part::Value, *id, Ok(schema));
    }
    let (mut documents, mut rows, mut refused) = (Vec::new(), Rows::default(), None);
    for value in values {
        rows.clear();
        match decoder.decode(&Record::new(0, 0, Some(value)), &mut rows) {
            Ok(()) => documents.extend(rows.iter().filter_map(|mut row| row.next().flatten().map(<[u8]>::to_vec))),
            Err(reason) => refused = Some(reason),
        }
    }
    match refused {
        Some(reason) if documents.is_empty() => Err(Exit::failed(format!("no message can be read: {reason}"))),
        _ => Ok(documents),
    }
}

/// The schema knows more than its messages tell: fields that none has filled yet, and types.
fn by_schema(fields: &mut Vec<Field>, schema: &Schema) {
    for (name, kind) in shape::of_avro(&schema.text).unwrap_or_default() {
        let known = fields.iter().position(|field| field.name == name);
        let at = known.unwrap_or(fields.len());
        if known.is_none() {
            fields.push(Field { name, seen: Seen::default(), is_nullable: true });
        }
        let seen = &mut fields[at].seen;
        seen.kind = match (kind, seen.kind) {
            // a text may hold a date; and a type that has a name may be a record
            (Kind::Text, Kind::Nothing) => Kind::Text,
            (Kind::Text, seen) => seen,
            (Kind::Nothing, seen) => seen,
            (kind, _) => kind,
        };
    }
}

/// An address as it may be written into a file, and the user that was in it.
fn without_credentials(url: &str) -> (String, Option<String>) {
    let parts = url.split_once("://").and_then(|(scheme, rest)| {
        let host_ends = rest.find('/').unwrap_or(rest.len());
        let at = rest[..host_ends].rfind('@')?;
        Some((scheme, &rest[..at], &rest[at + 1..]))
    });
    match parts {
        None => (url.to_owned(), None),
        Some((scheme, credentials, rest)) => {
            let user = credentials.split(':').next().filter(|user| !user.is_empty());
            (format!("{scheme}://{rest}"), user.map(str::to_owned))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_gets_into_a_file() {
        for (url, expected) in [
            ("http://r:8081/x", ("http://r:8081/x", None)),
            ("https://etl:s@e:c@r", ("https://r", Some("etl"))),
            ("https://r/a@b", ("https://r/a@b", None)),
            ("http://:x@r", ("http://r", None)),
        ] {
            let (shown, user) = without_credentials(url);
            assert_eq!((shown.as_str(), user.as_deref()), expected, "{url}");
        }
    }

    #[test]
    fn a_schema_adds_what_messages_do_not_tell() {
        let text = r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "long"},
            {"name": "day", "type": "string"}, {"name": "new", "type": ["null", "boolean"]}]}"#;
        let mut fields = shape::of_objects([br#"{"n": 1, "day": "2024-01-01", "old": 1}"#.as_slice()].into_iter());
        by_schema(&mut fields, &Schema::alone(SchemaKind::Avro, text));
        let kinds: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.seen.kind)).collect();
        let expected = [("n", Kind::BigInt), ("day", Kind::Date), ("old", Kind::Int), ("new", Kind::Boolean)];
        assert_eq!(kinds, expected);
    }
}
