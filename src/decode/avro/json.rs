//! A value as a JSON document. Unions are the plain value of their branch; maps keep every key that is written, in its
//! order, be it there twice.

use super::fault::Result;
use super::plan::{NodeId, Span};
use super::read::{Blocks, Reader, Value};
use super::sink::Sink;
use super::text::string;

/// What [`Reader::charge`] counts for an item: `false,` and a little.
pub(super) const ITEM_TEXT_BYTES: usize = 8;

/// How much of a key a reject shows.
const KEY_CHARS_SHOWN: usize = 64;

impl Reader<'_> {
    pub fn json<S: Sink>(&mut self, id: NodeId, out: &mut S) -> Result<()> {
        let value = self.value(id)?;
        self.json_value(value, out)
    }

    pub fn json_value<S: Sink>(&mut self, value: Value<'_>, out: &mut S) -> Result<()> {
        match value {
            Value::Leaf(leaf) => return self.json_leaf(leaf, out),
            Value::Record(fields) => {
                self.enter()?;
                out.put(b"{");
                self.json_fields(fields, out)?;
                out.put(b"}");
            }
            Value::Array(items) => {
                self.enter()?;
                out.put(b"[");
                self.json_items(items, out)?;
                out.put(b"]");
            }
            Value::Map(values) => {
                self.enter()?;
                out.put(b"{");
                self.json_entries(values, out)?;
                out.put(b"}");
            }
        }
        self.leave();
        Ok(())
    }

    fn json_fields<S: Sink>(&mut self, fields: Span, out: &mut S) -> Result<()> {
        for field in self.plan.fields(fields) {
            self.charge(field.key.len() + ITEM_TEXT_BYTES)?;
            out.put(field.key.as_bytes());
            self.json(field.node, out).map_err(|fault| fault.within(&field.name))?;
        }
        Ok(())
    }

    fn json_items<S: Sink>(&mut self, items: NodeId, out: &mut S) -> Result<()> {
        let takes_bytes = self.plan.size(items) != Some(0);
        let (mut blocks, mut number) = (Blocks::default(), 0_u64);
        while self.item(&mut blocks, takes_bytes)? {
            self.charge(ITEM_TEXT_BYTES)?;
            if number > 0 {
                out.put(b",");
            }
            self.json(items, out).map_err(|fault| fault.within(number))?;
            number += 1;
        }
        Ok(())
    }

    fn json_entries<S: Sink>(&mut self, values: NodeId, out: &mut S) -> Result<()> {
        let (mut blocks, mut is_first) = (Blocks::default(), true);
        while self.item(&mut blocks, true)? {
            if !is_first {
                out.put(b",");
            }
            is_first = false;
            let key = self.chunk()?;
            string(key, out).map_err(|fault| fault.within("(a key)"))?;
            out.put(b":");
            self.json(values, out).map_err(|fault| fault.within(shown(key)))?;
        }
        Ok(())
    }
}

/// A key, for a reject.
fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).chars().take(KEY_CHARS_SHOWN).collect()
}
