//! protobuf: a payload is one message, and one row. Its schema comes from a registry by the id in front of the message,
//! or is fixed.
//!
//! | file | what |
//! |---|---|
//! | `compile.rs` | schemas as text or as a descriptor set → descriptors |
//! | `plan.rs` | columns → where they lie in a message of one schema |
//! | `field.rs` | one value → the bare text, hex or array literal of a column |
//! | `json.rs` | one value → JSON |
//! | `known.rs` | the messages of `google.protobuf` that mean more than their fields |
//! | `weigh.rs` | what decoding takes in memory |
//!
//! # What it takes
//!
//! A message is decoded into a value of its own for each field: of most messages that takes ten times the payload, and of
//! hostile ones, small messages inside each other, up to 450 times. `weigh.rs` tells the most that it may be, and what is
//! large is decoded under a permit of the memory budget, one that is larger than the whole budget alone.
//!
//! # What columns hold
//!
//! A single column of json or jsonb, found by no more than its name, is the whole message; every other column is what
//! lies at its path. Fields are named as the `.proto` file writes them, or by their JSON names. NULL is a field that is
//! not set where the schema tells that from its default, an element that is not there, and a path that this schema does
//! not have; a field that the schema cannot tell from its default is that default.
//!
//! JSON is the canonical one of proto3, with what SQL finds easier: names are those of the `.proto` file, 64-bit integers
//! are numbers, and an Any keeps its bytes, as base64, where its message is not part of the schema or is damaged, or
//! where it lies deeper than twenty messages.
//!
//! | value | bare text | in JSON |
//! |---|---|---|
//! | enum | its name, or the number of one that has none | the same |
//! | bytes | base64; `\x` and hex for bytea and in arrays | base64 |
//! | Timestamp | RFC 3339 | the same |
//! | Duration | `hours:minutes:seconds`, as interval reads it | seconds, `1.5s` |
//! | wrappers | the value in it | the same |
//! | any other message, map, list | JSON | JSON |

mod compile;
mod field;
mod json;
mod known;
mod plan;
mod weigh;

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{DynamicMessage, FileDescriptor, MessageDescriptor};

use self::field::Counted;
use self::plan::Plan;
use super::{Cause, Column, Parse};
use crate::row::{Room, Rows};
use crate::schema::Schema;

pub(super) const NAME: &str = "protobuf";

/// Schemas that there are not, remembered so that each is asked for once. Ids in a topic may be anything.
const MISSING_MAX: usize = 1000;

/// How deep messages are declared inside each other: the compiler takes no more either.
const NESTING_MAX: usize = 32;

/// Bytes before the message indexes: zero, and the id.
const HEAD_BYTES: usize = 5;

/// How messages are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtobufOptions {
    pub source: ProtobufSource,
}

/// Where the schema of a message comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtobufSource {
    /// A registry: zero, the schema's id, which of its messages, the message.
    Confluent,
    /// Every payload is a bare message of one type.
    Fixed {
        /// A `FileDescriptorSet` with all imports, as `protoc --include_imports --descriptor_set_out` writes it.
        descriptor_set: Vec<u8>,
        /// The full name: `shop.Order`.
        message: String,
    },
}

/// Whether a descriptor set has a message of this full name.
///
/// # Errors
/// It is none, or has none; then it says which ones it has.
pub fn check(descriptor_set: &[u8], message: &str) -> Result<(), String> {
    compile::message(descriptor_set, message).map(drop)
}

/// See the module.
pub(super) struct Protobuf {
    columns: Vec<Column>,
    source: Source,
}

enum Source {
    Confluent(Learned),
    Fixed(Result<Plan, Arc<str>>),
}

impl Protobuf {
    pub fn new(options: &ProtobufOptions, columns: &[Column]) -> Self {
        let source = match &options.source {
            ProtobufSource::Confluent => Source::Confluent(Learned::default()),
            ProtobufSource::Fixed { descriptor_set, message } => {
                let message = compile::message(descriptor_set, message);
                Source::Fixed(message.map(|message| Plan::new(&message, columns)).map_err(Into::into))
            }
        };
        Self { columns: columns.to_vec(), source }
    }

    /// The fields of a message, one after the other.
    fn fill(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        match &mut self.source {
            Source::Fixed(Err(text)) => Err(Cause::Payload { text: text.to_string() }),
            Source::Fixed(Ok(plan)) => plan.fill(&decoded(plan.message(), payload)?, rows),
            Source::Confluent(learned) => {
                let framed = Framed::parse(payload)?;
                let plan = learned.plan(&framed, &self.columns)?;
                plan.fill(&decoded(plan.message(), framed.message)?, rows)
            }
        }
    }

    /// As [`Protobuf::fill`], for a look that changes nothing.
    fn count(&self, payload: &[u8], out: &mut Counted) -> Result<(), Cause> {
        match &self.source {
            Source::Fixed(Err(_)) => Ok(()),
            Source::Fixed(Ok(plan)) => plan.count(&decoded(plan.message(), payload)?, out),
            Source::Confluent(learned) => {
                let framed = Framed::parse(payload)?;
                let message = learned.message(&framed)?;
                let plan = Plan::new(&message, &self.columns);
                plan.count(&decoded(&message, framed.message)?, out)
            }
        }
    }
}

impl Parse for Protobuf {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        self.fill(payload, rows)?;
        rows.end_row();
        Ok(())
    }

    /// Writes the fields to nowhere: names, defaults and escapes have no bound that a payload's length would tell. A
    /// payload whose schema is not known yet adds nothing.
    fn room(&self, payload: &[u8]) -> Room {
        let mut counted = Counted::default();
        // where it fails, parsing fails at the latest, and has added no more
        drop(self.count(payload, &mut counted));
        Room { bytes: counted.bytes(), fields: self.columns.len().max(1), rows: 1 }
    }

    fn scratch(&self, payload: &[u8]) -> usize {
        match &self.source {
            _ if weigh::is_light(payload) => 0,
            Source::Fixed(Err(_)) => 0,
            Source::Fixed(Ok(plan)) => weigh::weigh(plan.message(), payload),
            Source::Confluent(learned) => {
                let framed = Framed::parse(payload).ok();
                framed.map_or(0, |framed| {
                    learned.message(&framed).map_or(0, |message| weigh::weigh(&message, framed.message))
                })
            }
        }
    }

    fn learn(&mut self, id: u32, schema: Result<&Schema, &str>) {
        if let Source::Confluent(learned) = &mut self.source {
            learned.learn(id, schema);
        }
    }
}

fn decoded(message: &MessageDescriptor, bytes: &[u8]) -> Result<DynamicMessage, Cause> {
    DynamicMessage::decode(message.clone(), bytes).map_err(|error| {
        let text = error.to_string();
        let cause = text.strip_prefix("failed to decode Protobuf message: ").unwrap_or(&text);
        Cause::Payload { text: format!("no message {}: {cause}", message.full_name()) }
    })
}

/// Schemas by id, as far as they were told.
#[derive(Default)]
struct Learned {
    good: HashMap<u32, Known>,
    missing: HashMap<u32, Arc<str>>,
}

/// One schema, and the plans of those of its messages that came so far.
struct Known {
    file: FileDescriptor,
    plans: HashMap<Vec<usize>, Plan>,
}

impl Learned {
    fn learn(&mut self, id: u32, schema: Result<&Schema, &str>) {
        let compiled = schema.map_err(str::to_owned).and_then(compile::file);
        match compiled {
            Ok(file) => drop(self.good.insert(id, Known { file, plans: HashMap::new() })),
            Err(text) => {
                if self.missing.len() >= MISSING_MAX {
                    self.missing.clear();
                }
                self.missing.insert(id, text.into());
            }
        }
    }

    fn plan(&mut self, framed: &Framed<'_>, columns: &[Column]) -> Result<&Plan, Cause> {
        // a second look for what is there, which the borrow checker wants
        if !self.good.get(&framed.id).is_some_and(|known| known.plans.contains_key(&framed.indexes)) {
            let plan = Plan::new(&self.message(framed)?, columns);
            if let Some(known) = self.good.get_mut(&framed.id) {
                known.plans.insert(framed.indexes.clone(), plan);
            }
        }
        let plan = self.good.get(&framed.id).and_then(|known| known.plans.get(&framed.indexes));
        plan.ok_or(Cause::SchemaWanted { id: framed.id })
    }

    fn message(&self, framed: &Framed<'_>) -> Result<MessageDescriptor, Cause> {
        let id = framed.id;
        if let Some(text) = self.missing.get(&id) {
            return Err(Cause::Schema { id, text: Arc::clone(text) });
        }
        let known = self.good.get(&id).ok_or(Cause::SchemaWanted { id })?;
        compile::nth_message(&known.file, &framed.indexes).ok_or_else(|| {
            let text = format!("it has no message at {:?}, which the payload names", framed.indexes);
            Cause::Schema { id, text: text.into() }
        })
    }
}

/// A payload as the registry's serializers write it.
struct Framed<'a> {
    id: u32,
    /// Which message of the file, and which one inside that, and so on.
    indexes: Vec<usize>,
    message: &'a [u8],
}

impl<'a> Framed<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, Cause> {
        let wrong = |text: &str| Cause::Payload { text: text.to_owned() };
        let first = payload.first().ok_or(Cause::Empty)?;
        if *first != 0 {
            return Err(wrong(
                "it does not begin with a zero and the id of a schema, as the registry's serializers write",
            ));
        }
        let (head, mut rest) =
            payload.split_at_checked(HEAD_BYTES).ok_or_else(|| wrong("it ends inside the schema's id"))?;
        let id = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let mut next = || zig_zag(&mut rest).ok_or_else(|| wrong("the indexes of the message are damaged"));
        let indexes = match next()? {
            // short for the first message of the file
            0 => vec![0],
            count if count > NESTING_MAX => return Err(wrong("the indexes of the message are too many")),
            count => (0..count).map(|_| next()).collect::<Result<_, _>>()?,
        };
        Ok(Self { id, indexes, message: rest })
    }
}

/// A zig-zag varint that is not negative.
fn zig_zag(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // odd ones are negative
            return if value.is_multiple_of(2) { usize::try_from(value / 2).ok() } else { None };
        }
    }
    None
}

#[cfg(test)]
mod tests;
