//! Where the columns of a job lie in the messages of one schema, worked out once, and how a row is filled from there.

use std::borrow::Cow;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::super::columns::{Columns, UNNAMED};
use super::super::{Cause, Column, ColumnKind};
use super::field::{Counted, Out, Wrong, write_column};
use crate::row::Rows;

/// See the module.
pub(super) struct Plan {
    message: MessageDescriptor,
    /// Those that are sent.
    columns: Columns,
    places: Vec<Place>,
}

/// What fills one column.
enum Place {
    Whole,
    /// `None`: not in this schema.
    At(Option<Path>, ColumnKind),
}

struct Path {
    steps: Vec<Step>,
    /// Of what lies there.
    kind: Kind,
}

enum Step {
    Field(FieldDescriptor),
    Element(usize),
    Entry(MapKey),
}

impl Plan {
    pub fn new(message: &MessageDescriptor, columns: &[Column]) -> Self {
        let mut sent: Vec<Column> = columns.iter().filter(|column| !column.is_ignored).cloned().collect();
        if sent.is_empty() {
            // a row has one field at least
            sent.push(Column::document(UNNAMED));
        }
        let is_whole = match &sent[..] {
            [column] => column.kind == ColumnKind::Json && column.path.is_empty(),
            _ => false,
        };
        let place = |column: &Column| Place::At(Path::new(message, &column.path), column.kind);
        let places = if is_whole { vec![Place::Whole] } else { sent.iter().map(place).collect() };
        Self { message: message.clone(), columns: Columns::new(&sent), places }
    }

    pub fn message(&self) -> &MessageDescriptor {
        &self.message
    }

    /// Adds the fields of a row.
    ///
    /// # Errors
    /// What cannot be text, with its column. Some fields may be there already.
    pub fn fill(&self, message: &DynamicMessage, rows: &mut Rows) -> Result<(), Cause> {
        for (at, place) in self.places.iter().enumerate() {
            let target = self.columns.expect(at)?;
            match place.write(message, rows) {
                Ok(true) => target.end(rows, false)?,
                Ok(false) => rows.null(),
                Err(wrong) => return Err(Cause::Payload { text: format!("column \"{}\": {wrong}", target.name) }),
            }
        }
        Ok(())
    }

    /// As [`Plan::fill`], for the number of bytes alone.
    pub fn count(&self, message: &DynamicMessage, out: &mut Counted) -> Result<(), Cause> {
        for place in &self.places {
            place.write(message, out).map_err(|wrong| Cause::Payload { text: wrong.to_string() })?;
        }
        Ok(())
    }
}

impl Place {
    /// Writes what is there; `false` is NULL.
    fn write(&self, message: &DynamicMessage, out: &mut impl Out) -> Result<bool, Wrong> {
        match self {
            Self::Whole => super::json::write_message(message, out).map(|()| true),
            Self::At(None, _) => Ok(false),
            Self::At(Some(path), column) => match path.find(message) {
                None => Ok(false),
                Some(value) => write_column(&value, &path.kind, *column, out).map(|()| true),
            },
        }
    }
}

impl Path {
    fn new(message: &MessageDescriptor, path: &[String]) -> Option<Self> {
        let (first, rest) = path.split_first()?;
        let mut field = field_of(message, first)?;
        let mut steps = vec![Step::Field(field.clone())];
        // what is inside a list or a map is single
        let mut is_single = false;
        let mut kind = field.kind();
        for name in rest {
            let step = if !is_single && field.is_map() {
                let Kind::Message(entry) = &kind else { return None };
                let key = map_key(&entry.map_entry_key_field().kind(), name)?;
                kind = entry.map_entry_value_field().kind();
                is_single = true;
                Step::Entry(key)
            } else if !is_single && field.is_list() {
                is_single = true;
                Step::Element(name.parse().ok()?)
            } else {
                field = field_of(kind.as_message()?, name)?;
                kind = field.kind();
                is_single = false;
                Step::Field(field.clone())
            };
            steps.push(step);
        }
        Some(Self { steps, kind })
    }

    fn find<'a>(&self, message: &'a DynamicMessage) -> Option<Cow<'a, Value>> {
        let (first, rest) = self.steps.split_first()?;
        let Step::Field(field) = first else { return None };
        let mut here = value_of(message, field)?;
        for step in rest {
            // a default leads nowhere: it is a bare value, or a list or map that is empty
            let Cow::Borrowed(value) = here else { return None };
            here = match (value, step) {
                (Value::Message(message), Step::Field(field)) => value_of(message, field)?,
                (Value::List(list), Step::Element(index)) => Cow::Borrowed(list.get(*index)?),
                (Value::Map(map), Step::Entry(key)) => Cow::Borrowed(map.get(key)?),
                _ => return None,
            };
        }
        Some(here)
    }
}

fn field_of(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name))
}

/// A field, or its default where nobody can tell whether it was set.
fn value_of<'a>(message: &'a DynamicMessage, field: &FieldDescriptor) -> Option<Cow<'a, Value>> {
    let is_absent = field.supports_presence() && !message.has_field(field);
    (!is_absent).then(|| message.get_field(field))
}

fn map_key(kind: &Kind, name: &str) -> Option<MapKey> {
    Some(match kind {
        Kind::String => MapKey::String(name.to_owned()),
        Kind::Bool => MapKey::Bool(name.parse().ok()?),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(name.parse().ok()?),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => MapKey::I64(name.parse().ok()?),
        Kind::Uint32 | Kind::Fixed32 => MapKey::U32(name.parse().ok()?),
        Kind::Uint64 | Kind::Fixed64 => MapKey::U64(name.parse().ok()?),
        _ => return None,
    })
}
