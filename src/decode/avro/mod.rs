//! avro: one datum a record, with the five bytes of Confluent's framing before it, or bare. It becomes one JSON document,
//! or one row of columns.
//!
//! A schema is compiled once (`schema.rs`) into a flat plan (`plan.rs`), which `read.rs` walks; `text.rs`, `logical.rs`,
//! `json.rs` and `field.rs` write what it finds; `route.rs` finds the columns. What a datum may not do: lie about lengths,
//! nest without end, or become text without measure.

mod fault;
mod field;
mod json;
mod logical;
mod logical_types;
mod plan;
mod read;
mod route;
mod schema;
mod sink;
mod text;

use std::sync::Arc;

use self::logical::Scratch;
use self::plan::Plan;
use self::read::Reader;
use self::route::Routes;
use self::sink::{Count, Fields};
use super::columns::UNNAMED;
use super::{Cause, Column, ColumnKind, Parse};
use crate::row::{Room, Rows};
use crate::schema::Schema;

pub(super) const NAME: &str = "avro";

/// Schemas that are kept compiled. A topic has a few; where ids are noise, all are forgotten and asked for again.
const SCHEMAS_MAX: usize = 1000;

/// How Avro is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroOptions {
    pub framing: AvroFraming,
    /// Bytes and fixeds are base64 where they become text, and otherwise a character a byte, as Avro's own JSON has them.
    pub bytes_to_base64: bool,
}

/// Where the schema of a datum is known from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AvroFraming {
    /// A zero and four bytes before the datum name it by the id that a registry gave it, the highest byte first.
    Confluent,
    /// It is always this one, and nothing stands before the datum. [`check`] it first.
    Fixed(Schema),
}

/// Whether data of this schema can be read.
///
/// # Errors
/// Why not.
pub fn check(schema: &Schema) -> Result<(), String> {
    schema::compile(schema).map(drop)
}

/// See the module.
pub(super) struct Avro {
    shape: Shape,
    bytes_to_base64: bool,
    schemas: Schemas,
    buffers: Buffers,
}

/// What becomes of a datum.
enum Shape {
    /// For the column of this name.
    Document(Arc<str>),
    Columns(Vec<Column>),
}

enum Schemas {
    /// In order of their ids.
    ById(Vec<(u32, Learned)>),
    One(Learned),
}

/// A schema that can be used, or why it cannot.
type Learned = Result<Box<Compiled>, Arc<str>>;

struct Compiled {
    plan: Plan,
    routes: Routes,
}

#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    /// Where a record's fields begin.
    starts: Vec<usize>,
}

impl Avro {
    pub fn new(options: &AvroOptions, columns: &[Column]) -> Self {
        let shape = Shape::new(columns);
        let schemas = match &options.framing {
            AvroFraming::Confluent => Schemas::ById(Vec::new()),
            AvroFraming::Fixed(schema) => Schemas::One(shape.learned(Ok(schema))),
        };
        Self { shape, bytes_to_base64: options.bytes_to_base64, schemas, buffers: Buffers::default() }
    }
}

impl Shape {
    fn new(columns: &[Column]) -> Self {
        match columns {
            [] => Self::Document(UNNAMED.into()),
            [one] if one.kind == ColumnKind::Json && !one.is_ignored && one.path.is_empty() => {
                Self::Document(one.name.as_str().into())
            }
            _ => Self::Columns(columns.iter().filter(|column| !column.is_ignored).cloned().collect()),
        }
    }

    /// How many fields a row has.
    fn len(&self) -> usize {
        match self {
            Self::Document(_) => 1,
            Self::Columns(columns) => columns.len(),
        }
    }

    fn learned(&self, schema: Result<&Schema, &str>) -> Learned {
        let plan = schema::compile(schema?)?;
        let routes = match self {
            Self::Document(_) => Routes::new(&plan, &[]),
            Self::Columns(columns) => Routes::new(&plan, columns),
        };
        Ok(Box::new(Compiled { plan, routes }))
    }

    /// Adds the fields of a datum.
    fn fields<F: Fields>(
        &self,
        compiled: &Compiled,
        reader: &mut Reader<'_>,
        starts: &mut Vec<usize>,
        out: &mut F,
    ) -> fault::Result<()> {
        let columns = match self {
            Self::Columns(columns) => columns,
            Self::Document(column) => {
                reader.json(reader.plan.root(), out).map_err(|fault| fault.at_least_within(column))?;
                out.end();
                return reader.end();
            }
        };
        if reader.columns(&compiled.routes, columns, out)? {
            return Ok(());
        }
        let datum = reader.look_over(starts)?;
        for (at, column) in columns.iter().enumerate() {
            let mut add = || match reader.find(&datum, starts, &compiled.routes, at, &column.path)? {
                Some(id) => reader.field(id, column.kind, out),
                None => {
                    out.null();
                    Ok(())
                }
            };
            add().map_err(|fault| fault.within(column.path.join(".")))?;
        }
        Ok(())
    }
}

impl Schemas {
    /// The schema of a payload, and its datum.
    fn of<'a>(&self, payload: &'a [u8]) -> Result<(&Compiled, &'a [u8]), Cause> {
        match self {
            Self::One(Ok(one)) if payload.is_empty() && one.plan.size(one.plan.root()) != Some(0) => Err(Cause::Empty),
            Self::One(Ok(one)) => Ok((one, payload)),
            Self::One(Err(text)) => Err(Cause::Payload { text: format!("the schema cannot be used: {text}") }),
            Self::ById(known) => {
                let (id, datum) = framed(payload)?;
                let place = known.binary_search_by_key(&id, |(id, _)| *id).map_err(|_| Cause::SchemaWanted { id })?;
                match &known[place].1 {
                    Ok(compiled) => Ok((compiled, datum)),
                    Err(text) => Err(Cause::Schema { id, text: Arc::clone(text) }),
                }
            }
        }
    }

    fn learn(&mut self, id: u32, learned: Learned) {
        let Self::ById(known) = self else { return };
        match known.binary_search_by_key(&id, |(id, _)| *id) {
            Ok(place) => known[place].1 = learned,
            Err(_) if known.len() >= SCHEMAS_MAX => *known = vec![(id, learned)],
            Err(place) => known.insert(place, (id, learned)),
        }
    }
}

/// The id of a schema, and what follows it.
fn framed(payload: &[u8]) -> Result<(u32, &[u8]), Cause> {
    match payload {
        [] => Err(Cause::Empty),
        [0, a, b, c, d, datum @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), datum)),
        [0, ..] => {
            let text =
                format!("{} bytes are too few for a zero and the id of a schema, which take five", payload.len());
            Err(Cause::Payload { text })
        }
        [first, ..] => {
            let text =
                format!("it begins with the byte {first}; Confluent's framing begins with 0 and the id of a schema");
            Err(Cause::Payload { text })
        }
    }
}

impl Parse for Avro {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        let (compiled, datum) = self.schemas.of(payload)?;
        let Buffers { scratch, starts } = &mut self.buffers;
        let mut reader = Reader::new(&compiled.plan, datum, self.bytes_to_base64, scratch);
        self.shape.fields(compiled, &mut reader, starts, rows)?;
        rows.end_row();
        Ok(())
    }

    /// Reads the datum as [`Parse::parse`] does, and counts.
    fn room(&self, payload: &[u8]) -> Room {
        let mut count = Count::default();
        if let Ok((compiled, datum)) = self.schemas.of(payload) {
            let Buffers { mut scratch, mut starts } = Buffers::default();
            let mut reader = Reader::new(&compiled.plan, datum, self.bytes_to_base64, &mut scratch);
            // on the way to an error it adds no more than was counted until then
            drop(self.shape.fields(compiled, &mut reader, &mut starts, &mut count));
        }
        Room { bytes: count.bytes, fields: self.shape.len(), rows: 1 }
    }

    fn learn(&mut self, id: u32, schema: Result<&Schema, &str>) {
        let learned = self.shape.learned(schema);
        self.schemas.learn(id, learned);
    }
}

#[cfg(test)]
mod dice;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
