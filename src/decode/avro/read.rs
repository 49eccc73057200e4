//! The bytes of a datum, read along a plan: numbers, lengths, blocks, and what is read past. Nothing that they say is
//! believed before the bytes for it are seen to be there. Text is made of it in `text.rs`, `json.rs` and `field.rs`.

use super::fault::{Fault, Result};
use super::logical::Scratch;
use super::plan::{Node, NodeId, Plan, Span, Unit};

/// How deep records, arrays and maps may lie in each other: a schema may name itself, and every level takes stack.
pub(super) const DEPTH_MAX: u32 = 256;

/// What a datum of no length may come to as JSON; see [`Reader::charge`].
const TEXT_BYTES_MIN: usize = 16 << 20;

/// And for each of its bytes so much more: a flag of one byte in a field whose name is 250 letters long.
const TEXT_BYTES_A_BYTE: usize = 256;

/// A varint of 64 bits.
const VARINT_BYTES_MAX: usize = 10;

/// One reading of one datum.
pub(super) struct Reader<'a> {
    pub plan: &'a Plan,
    bytes: &'a [u8],
    /// Where in `bytes`.
    pub at: usize,
    depth: u32,
    /// See [`Reader::charge`].
    allowance: usize,
    pub bytes_to_base64: bool,
    pub scratch: &'a mut Scratch,
}

/// A value, or where it begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Leaf(Leaf<'a>),
    Array(NodeId),
    Map(NodeId),
    Record(Span),
}

/// A value without others inside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaf<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Float(f32),
    Double(f64),
    String(&'a [u8]),
    Symbol(&'a str),
    Bytes(&'a [u8]),
    Decimal { bytes: &'a [u8], scale: u32 },
    Date(i64),
    Time { count: i64, unit: Unit },
    Timestamp { count: i64, unit: Unit, is_local: bool },
    Uuid(&'a [u8]),
    Duration(&'a [u8]),
}

/// The blocks of an array or a map.
#[derive(Default)]
pub(super) struct Blocks {
    left: u64,
    /// Where the block must end, if it says so.
    end: Option<usize>,
}

impl<'a> Reader<'a> {
    pub fn new(plan: &'a Plan, bytes: &'a [u8], bytes_to_base64: bool, scratch: &'a mut Scratch) -> Self {
        let allowance = bytes.len().saturating_mul(TEXT_BYTES_A_BYTE).saturating_add(TEXT_BYTES_MIN);
        Self { plan, bytes, at: 0, depth: 0, allowance, bytes_to_base64, scratch }
    }

    /// Goes back, to read again from there.
    pub fn go_to(&mut self, at: usize) {
        self.at = at;
        self.depth = 0;
    }

    /// That nothing is left.
    pub fn end(&self) -> Result<()> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            1 => Err(Fault::new("1 byte is left over behind the datum; it was written with another schema")),
            left => Err(Fault::new(format!(
                "{left} bytes are left over behind the datum; it was written with another schema"
            ))),
        }
    }

    /// The value of a type; a union is its branch.
    #[inline]
    pub fn value(&mut self, id: NodeId) -> Result<Value<'a>> {
        let mut node = self.plan.node(id);
        while let Node::Union { branches } = node {
            node = self.plan.node(self.branch(branches)?.1);
        }
        Ok(match node {
            Node::Array { items } => Value::Array(items),
            Node::Map { values } => Value::Map(values),
            Node::Record { fields } => Value::Record(fields),
            leaf => Value::Leaf(self.leaf(leaf)?),
        })
    }

    fn leaf(&mut self, node: Node) -> Result<Leaf<'a>> {
        Ok(match node {
            Node::Boolean => Leaf::Boolean(self.boolean()?),
            Node::Int => Leaf::Integer(self.int()?),
            Node::Long => Leaf::Integer(self.long()?),
            Node::Float => Leaf::Float(f32::from_le_bytes(self.array()?)),
            Node::Double => Leaf::Double(f64::from_le_bytes(self.array()?)),
            Node::Bytes => Leaf::Bytes(self.chunk()?),
            Node::String => Leaf::String(self.chunk()?),
            Node::Fixed { size } => Leaf::Bytes(self.take(size as usize)?),
            Node::Enum { symbols } => Leaf::Symbol(self.symbol(symbols)?),
            Node::Date => Leaf::Date(self.int()?),
            Node::TimeMillis => Leaf::Time { count: self.int()?, unit: Unit::Millis },
            Node::Time { unit } => Leaf::Time { count: self.long()?, unit },
            Node::Timestamp { unit, is_local } => Leaf::Timestamp { count: self.long()?, unit, is_local },
            Node::Decimal { size: None, scale } => Leaf::Decimal { bytes: self.chunk()?, scale },
            Node::Decimal { size: Some(size), scale } => Leaf::Decimal { bytes: self.take(size as usize)?, scale },
            Node::Uuid => Leaf::Uuid(self.take(16)?),
            Node::Duration => Leaf::Duration(self.take(12)?),
            // no leaves; `value` knows them
            Node::Null | Node::Array { .. } | Node::Map { .. } | Node::Union { .. } | Node::Record { .. } => Leaf::Null,
        })
    }

    /// One level deeper.
    pub fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        match self.depth > DEPTH_MAX {
            true => Err(Fault::new(format!("values lie in each other more than {DEPTH_MAX} levels deep"))),
            false => Ok(()),
        }
    }

    pub fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Counts text that no bytes stand for: names of fields, and items that take none. A hostile schema makes gigabytes
    /// of a few bytes; an honest one stays far below the bound.
    #[inline]
    pub fn charge(&mut self, text_bytes: usize) -> Result<()> {
        match self.allowance.checked_sub(text_bytes) {
            Some(left) => {
                self.allowance = left;
                Ok(())
            }
            None => Err(Fault::new(format!("so much text in {} bytes is no honest datum", self.bytes.len()))),
        }
    }

    /// Whether there is another item.
    pub fn item(&mut self, blocks: &mut Blocks, takes_bytes: bool) -> Result<bool> {
        while blocks.left == 0 {
            self.end_block(blocks)?;
            let count = self.long()?;
            blocks.left = count.unsigned_abs();
            match count {
                0 => return Ok(false),
                ..0 => {
                    let length = self.length()?;
                    blocks.end = Some(self.at + length);
                }
                _ => {}
            }
            if takes_bytes && blocks.left > (self.bytes.len() - self.at) as u64 {
                return Err(Fault::new(format!("a block of {} items, in fewer bytes than that", blocks.left)));
            }
        }
        blocks.left -= 1;
        Ok(true)
    }

    fn end_block(&self, blocks: &mut Blocks) -> Result<()> {
        match blocks.end.take() {
            Some(end) if end != self.at => Err(Fault::new("a block of items is not as long as it says")),
            _ => Ok(()),
        }
    }

    /// Reads past a value.
    pub fn skip(&mut self, id: NodeId) -> Result<()> {
        if let Some(size) = self.plan.size(id) {
            return self.take(size).map(drop);
        }
        match self.plan.node(id) {
            Node::Bytes | Node::String | Node::Decimal { .. } => self.chunk().map(drop),
            Node::Array { items } => self.skip_items(items, false),
            Node::Map { values } => self.skip_items(values, true),
            Node::Union { branches } => {
                let (_, branch) = self.branch(branches)?;
                self.skip(branch)
            }
            Node::Record { fields } => {
                self.enter()?;
                for field in self.plan.fields(fields) {
                    self.skip(field.node).map_err(|fault| fault.within(&field.name))?;
                }
                self.leave();
                Ok(())
            }
            _ => self.long().map(drop),
        }
    }

    fn skip_items(&mut self, items: NodeId, have_keys: bool) -> Result<()> {
        self.enter()?;
        loop {
            let count = self.long()?;
            match (count, self.plan.size(items)) {
                (0, _) => break,
                (..0, _) => self.chunk().map(drop)?,
                (_, Some(size)) if !have_keys => {
                    let bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
                    self.take(bytes.ok_or_else(Fault::truncated)?)?;
                }
                _ => {
                    for _ in 0..count {
                        if have_keys {
                            self.chunk()?;
                        }
                        self.skip(items)?;
                    }
                }
            }
        }
        self.leave();
        Ok(())
    }

    /// Which branch of a union it is.
    pub fn branch(&mut self, branches: Span) -> Result<(usize, NodeId)> {
        let number = self.long()?;
        let branches = self.plan.branches(branches);
        let at = usize::try_from(number).ok().filter(|&at| at < branches.len());
        let at =
            at.ok_or_else(|| Fault::new(format!("branch {number} of a union that has {} of them", branches.len())))?;
        Ok((at, branches[at]))
    }

    fn symbol(&mut self, symbols: Span) -> Result<&'a str> {
        let number = self.long()?;
        let symbols = self.plan.symbols(symbols);
        let symbol = usize::try_from(number).ok().and_then(|at| symbols.get(at));
        let symbol = symbol
            .ok_or_else(|| Fault::new(format!("symbol {number} of an enum that has {} of them", symbols.len())))?;
        Ok(symbol)
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [byte] => Err(Fault::new(format!("a boolean is 0 or 1, not {byte}"))),
        }
    }

    fn int(&mut self) -> Result<i64> {
        let number = self.long()?;
        match i32::try_from(number) {
            Ok(_) => Ok(number),
            Err(_) => Err(Fault::new(format!("{number} is no int of 32 bits"))),
        }
    }

    #[inline]
    fn long(&mut self) -> Result<i64> {
        match self.bytes.get(self.at) {
            // most numbers: lengths, branches, what is small
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(unzigzag(byte.into()))
            }
            _ => self.long_of_many(),
        }
    }

    fn long_of_many(&mut self) -> Result<i64> {
        if let Some((number, bytes)) = self.bytes[self.at..].first_chunk().and_then(varint_in) {
            self.at += bytes;
            return Ok(unzigzag(number));
        }
        let mut number = 0;
        for (place, &byte) in self.bytes[self.at..].iter().take(VARINT_BYTES_MAX).enumerate() {
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                if place == VARINT_BYTES_MAX - 1 && byte > 1 {
                    break;
                }
                self.at += place + 1;
                return Ok(unzigzag(number));
            }
        }
        match self.bytes.len() - self.at < VARINT_BYTES_MAX {
            true => Err(Fault::truncated()),
            false => Err(Fault::new("a number of more than 64 bits")),
        }
    }

    fn length(&mut self) -> Result<usize> {
        let length = self.long()?;
        let Ok(bytes) = usize::try_from(length) else {
            return Err(Fault::new(format!("a length of {length} bytes")));
        };
        if bytes > self.bytes.len() - self.at {
            return Err(Fault::truncated());
        }
        Ok(bytes)
    }

    /// Bytes with their length before them.
    #[inline]
    pub fn chunk(&mut self) -> Result<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    #[inline]
    fn take(&mut self, bytes: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..bytes).ok_or_else(Fault::truncated)?;
        self.at += bytes;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes[self.at..].first_chunk().ok_or_else(Fault::truncated)?;
        self.at += N;
        Ok(*bytes)
    }
}

/// A varint that ends in these bytes, and its length: all of its groups of seven bits at once.
#[inline]
fn varint_in(bytes: &[u8; 8]) -> Option<(u64, usize)> {
    let word = u64::from_le_bytes(*bytes);
    let ends = !word & 0x8080_8080_8080_8080;
    if ends == 0 {
        return None;
    }
    let length = ends.trailing_zeros() / 8 + 1;
    let groups = word & (u64::MAX >> (64 - 8 * length)) & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = groups & 0x007f_007f_007f_007f | (groups & 0x7f00_7f00_7f00_7f00) >> 1;
    let fours = pairs & 0x0000_3fff_0000_3fff | (pairs & 0x3fff_0000_3fff_0000) >> 2;
    Some((fours & 0x0fff_ffff | (fours & 0x0fff_ffff_0000_0000) >> 4, length as usize))
}

/// 0, 1, 2, 3 are 0, -1, 1, -2.
fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_varint_is_the_same_group_by_group_and_at_once() {
        for shift in 0..64 {
            for number in [1_u64 << shift, (1 << shift) - 1, u64::MAX >> shift, 0x0123_4567_89ab_cdef >> shift] {
                let mut bytes = Vec::new();
                let mut left = number;
                while left >= 0x80 {
                    bytes.push(u8::try_from(left & 0x7f).unwrap() | 0x80);
                    left >>= 7;
                }
                bytes.push(u8::try_from(left).unwrap());
                let length = bytes.len();
                bytes.resize(length.max(8), 0xff);
                let expected = (length <= 8).then_some((number, length));
                assert_eq!(varint_in(bytes.first_chunk().unwrap()), expected, "{number}");
            }
        }
    }
}
