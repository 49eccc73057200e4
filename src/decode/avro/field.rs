//! A value as one column's text.

use super::super::ColumnKind;
use super::fault::Result;
use super::json::ITEM_TEXT_BYTES;
use super::plan::NodeId;
use super::read::{Blocks, Leaf, Reader, Value};
use super::sink::{AsHex, Fields, InQuotes, Sink};

impl Reader<'_> {
    /// Adds a whole field. Null is NULL for every kind.
    pub fn field<F: Fields>(&mut self, id: NodeId, kind: ColumnKind, out: &mut F) -> Result<()> {
        let value = self.value(id)?;
        match (value, kind) {
            (Value::Leaf(Leaf::Null), _) => {
                out.null();
                return Ok(());
            }
            (_, ColumnKind::Json) => self.json_value(value, out)?,
            (_, ColumnKind::Bytes) => {
                out.put(br"\x");
                self.hex(value, out)?;
            }
            (Value::Array(items), ColumnKind::Array) => self.literal(items, out)?,
            // a text may be a literal of its own
            (_, ColumnKind::Scalar | ColumnKind::Array) => self.bare(value, out)?,
        }
        out.end();
        Ok(())
    }

    /// What has no bare form is JSON.
    fn bare<S: Sink>(&mut self, value: Value<'_>, out: &mut S) -> Result<()> {
        match value {
            Value::Leaf(leaf) => self.text(leaf, out),
            _ => self.json_value(value, out),
        }
    }

    /// Bytes as they are, whatever their logical type makes of them; of everything else the bytes of its text.
    fn hex<S: Sink>(&mut self, value: Value<'_>, out: &mut S) -> Result<()> {
        match value {
            Value::Leaf(
                Leaf::String(bytes)
                | Leaf::Bytes(bytes)
                | Leaf::Decimal { bytes, .. }
                | Leaf::Uuid(bytes)
                | Leaf::Duration(bytes),
            ) => {
                AsHex(out).put(bytes);
                Ok(())
            }
            _ => self.bare(value, &mut AsHex(out)),
        }
    }

    /// An array literal. What an item's type is, its column knows alone: bytes are hex here, which `bytea[]` reads and
    /// `text[]` shows.
    fn literal<S: Sink>(&mut self, items: NodeId, out: &mut S) -> Result<()> {
        self.enter()?;
        let takes_bytes = self.plan.size(items) != Some(0);
        let (mut blocks, mut number) = (Blocks::default(), 0_u64);
        out.put(b"{");
        while self.item(&mut blocks, takes_bytes)? {
            self.charge(ITEM_TEXT_BYTES)?;
            if number > 0 {
                out.put(b",");
            }
            self.element(items, out).map_err(|fault| fault.within(number))?;
            number += 1;
        }
        out.put(b"}");
        self.leave();
        Ok(())
    }

    fn element<S: Sink>(&mut self, id: NodeId, out: &mut S) -> Result<()> {
        let value = self.value(id)?;
        match value {
            Value::Array(items) => self.literal(items, out),
            Value::Leaf(Leaf::Null) => {
                out.put(b"NULL");
                Ok(())
            }
            Value::Leaf(
                Leaf::Boolean(_) | Leaf::Integer(_) | Leaf::Float(_) | Leaf::Double(_) | Leaf::Decimal { .. },
            ) => self.bare(value, out),
            Value::Leaf(Leaf::Bytes(bytes)) => {
                out.put(br#""\\x"#);
                AsHex(out).put(bytes);
                out.put(b"\"");
                Ok(())
            }
            _ => {
                out.put(b"\"");
                self.bare(value, &mut InQuotes(out))?;
                out.put(b"\"");
                Ok(())
            }
        }
    }
}
