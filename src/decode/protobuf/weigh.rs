//! What a message takes in memory while it is taken apart, told from its bytes alone: the library makes a value of each
//! field, and of a few bytes what is hundreds of times as much. An upper bound, for messages that are large or strange.

use prost_reflect::{Kind, MessageDescriptor, Value};

/// A value, with its place in a list, a map or a message.
const VALUE_BYTES: usize = size_of::<Value>() + 16;

/// A message has room for eleven fields from the first one on, and its own list beside them.
const MESSAGE_BYTES: usize = 12 * VALUE_BYTES;

/// A list that grows is there twice, the second time twice as large.
const ELEMENT_BYTES: usize = 3 * VALUE_BYTES;

/// The first of a list makes room for four.
const FIELD_BYTES: usize = 4 * VALUE_BYTES + ELEMENT_BYTES;

/// The most that a byte comes to: messages inside each other, at two bytes each.
const BYTES_PER_BYTE: usize = (MESSAGE_BYTES + FIELD_BYTES) / 2;

/// Less is not looked at: it is less than what a worker may hold beside its blocks.
const LIGHT_BYTES: usize = 4 << 20;

/// The decoder refuses deeper ones.
const DEPTH_MAX: u32 = 100;

const ANY: &str = "google.protobuf.Any";

/// Whether a payload of so many bytes is never worth a look, whatever its message.
pub(super) fn is_light(payload: &[u8]) -> bool {
    payload.len().saturating_mul(BYTES_PER_BYTE) <= LIGHT_BYTES
}

/// The most bytes that decoding takes. What comes behind a damaged place is not decoded either.
pub(super) fn weigh(message: &MessageDescriptor, mut payload: &[u8]) -> usize {
    let mut scale = Scale::default();
    // where it is damaged, what was read before is what counts
    scale.message(Some(message), &mut payload, 0).unwrap_or_default();
    scale.bytes
}

#[derive(Default)]
struct Scale {
    bytes: usize,
}

impl Scale {
    fn add(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// The fields up to the end, or to the end of the group; of an unknown message if there is none.
    fn message(&mut self, message: Option<&MessageDescriptor>, wire: &mut &[u8], depth: u32) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.add(MESSAGE_BYTES);
        while !wire.is_empty() {
            let key = varint(wire)?;
            self.add(FIELD_BYTES);
            let number = u32::try_from(key >> 3).ok()?;
            let kind = message.and_then(|message| self.kind(message, number));
            match key & 7 {
                0 => varint(wire).map(drop)?,
                1 => take(wire, 8).map(drop)?,
                2 => {
                    let length = usize::try_from(varint(wire)?).ok()?;
                    let is_any = message.is_some_and(|message| message.full_name() == ANY);
                    self.delimited(kind, take(wire, length)?, is_any, depth)?;
                }
                3 => self.message(kind.as_ref().and_then(Kind::as_message), wire, depth + 1)?,
                4 => return Some(()),
                5 => take(wire, 4).map(drop)?,
                _ => return None,
            }
        }
        Some(())
    }

    /// Of a field or an extension. A text begins as its default.
    fn kind(&mut self, message: &MessageDescriptor, number: u32) -> Option<Kind> {
        if let Some(field) = message.get_field(number) {
            self.add(field.field_descriptor_proto().default_value().len());
            return Some(field.kind());
        }
        let extension = message.get_extension(number)?;
        self.add(extension.field_descriptor_proto().default_value().len());
        Some(extension.kind())
    }

    fn delimited(&mut self, kind: Option<Kind>, mut bytes: &[u8], is_any: bool, depth: u32) -> Option<()> {
        let width = match kind {
            Some(Kind::Message(message)) => return self.message(Some(&message), &mut bytes, depth + 1),
            Some(Kind::String | Kind::Bytes) | None => {
                // what lies in an Any may be decoded, too
                self.add(bytes.len().saturating_mul(if is_any { BYTES_PER_BYTE } else { 1 }));
                return Some(());
            }
            Some(Kind::Double | Kind::Fixed64 | Kind::Sfixed64) => 8,
            Some(Kind::Float | Kind::Fixed32 | Kind::Sfixed32) => 4,
            // a varint has at least one
            Some(_) => 1,
        };
        self.add((bytes.len() / width).saturating_mul(ELEMENT_BYTES));
        Some(())
    }
}

fn take<'a>(wire: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    Some(taken)
}

fn varint(wire: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *take(wire, 1)?.first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
