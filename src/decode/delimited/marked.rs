//! delimited with QUOTE or ESCAPE: byte by byte where a byte may mean something, and whole runs where none does.

use std::sync::Arc;

use super::super::columns::{Columns, Target};
use super::super::{Cause, DelimitedOptions};
use super::end_row;
use crate::row::Rows;

/// What is looked for in payloads.
pub(super) struct Marks {
    delimiter: Vec<u8>,
    eol_prefix: Vec<u8>,
    quote: Option<u8>,
    escape: Option<u8>,
    /// Bytes that may begin something, outside of quotes.
    is_special: [bool; 256],
    /// How far inside a delimiter a row's end may begin; almost always nowhere.
    overlaps: Vec<usize>,
}

/// How a field ended, and where what follows it begins.
enum End {
    Field(usize),
    Row(usize),
    Payload,
}

impl Marks {
    pub fn new(options: &DelimitedOptions) -> Self {
        let DelimitedOptions { delimiter, eol_prefix, quote, escape } = options.clone();
        let eol = [&eol_prefix, &b"\n"[..]].concat();
        let firsts = [delimiter.first(), eol.first(), quote.as_ref(), escape.as_ref()];
        let mut is_special = [false; 256];
        firsts.into_iter().flatten().for_each(|&byte| is_special[usize::from(byte)] = true);
        is_special[usize::from(b'\r')] |= eol_prefix.is_empty();
        let overlaps = (1..delimiter.len()).filter(|&at| eol.starts_with(&delimiter[at..])).collect();
        Self { delimiter, eol_prefix, quote, escape, is_special, overlaps }
    }

    /// Adds the payload's rows. Apart from the case without marks, which is faster by itself.
    #[inline(never)]
    pub fn parse(&self, payload: &[u8], columns: &Columns, is_clean: bool, rows: &mut Rows) -> Result<(), Cause> {
        let (mut at, mut column) = (0, 0);
        loop {
            let target = columns.expect(column)?;
            let end = self.field(payload, at, target, rows)?;
            target.end(rows, is_clean)?;
            column += 1;
            match end {
                End::Field(next) => at = next,
                End::Row(next) => {
                    end_row(columns, column, rows)?;
                    if next == payload.len() {
                        return Ok(());
                    }
                    (at, column) = (next, 0);
                }
                End::Payload => return end_row(columns, column, rows),
            }
        }
    }

    /// Adds the field at `at` to the open one.
    fn field(&self, payload: &[u8], mut at: usize, target: &Target, rows: &mut Rows) -> Result<End, Cause> {
        loop {
            let rest = &payload[at..];
            let run = rest.iter().position(|&byte| self.is_special[usize::from(byte)]).unwrap_or(rest.len());
            rows.extend(&rest[..run]);
            at += run;
            let rest = &rest[run..];
            let Some(&first) = rest.first() else { return Ok(End::Payload) };
            let escaped = if self.escape == Some(first) { self.escaped(&rest[1..]) } else { 0 };
            if escaped > 0 {
                rows.extend(&rest[1..=escaped]);
                at += 1 + escaped;
            } else if self.quote == Some(first) {
                at = self.quoted(payload, at + 1, first, target, rows)?;
            } else if let Some(length) = self.row_end(rest) {
                return Ok(End::Row(at + length));
            } else if self.is_delimiter(rest) {
                return Ok(End::Field(at + self.delimiter.len()));
            } else {
                rows.extend(&[first]);
                at += 1;
            }
        }
    }

    /// How many bytes behind an escape outside of quotes it makes ordinary; 0: it is ordinary itself.
    fn escaped(&self, rest: &[u8]) -> usize {
        let next = rest.first().copied();
        match self.quote {
            Some(_) if self.quote == self.escape => 0,
            Some(_) => usize::from(next.is_some() && (next == self.quote || next == self.escape)),
            None if next == self.escape => usize::from(next.is_some()),
            None if rest.starts_with(&self.delimiter) => self.delimiter.len(),
            None if self.eol_prefix.is_empty() => match rest {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => 0,
            },
            None if rest.starts_with(&self.eol_prefix) => self.eol_prefix.len(),
            None => 0,
        }
    }

    /// The length of the row's end that stands here.
    fn row_end(&self, rest: &[u8]) -> Option<usize> {
        if self.eol_prefix.is_empty() {
            return match rest {
                [b'\n', ..] | [b'\r'] => Some(1),
                [b'\r', b'\n', ..] => Some(2),
                _ => None,
            };
        }
        let behind = rest.strip_prefix(&self.eol_prefix[..])?;
        behind.starts_with(b"\n").then_some(self.eol_prefix.len() + 1)
    }

    fn is_delimiter(&self, rest: &[u8]) -> bool {
        rest.starts_with(&self.delimiter) && !self.overlaps.iter().any(|&at| self.row_end(&rest[at..]).is_some())
    }

    /// Reads to the closing quote; returns what is behind it.
    fn quoted(
        &self,
        payload: &[u8],
        mut at: usize,
        quote: u8,
        target: &Target,
        rows: &mut Rows,
    ) -> Result<usize, Cause> {
        let escape = self.escape.unwrap_or(quote);
        loop {
            let Some(length) = memchr::memchr2(quote, escape, &payload[at..]) else {
                return Err(Cause::UnterminatedField { column: Arc::clone(&target.name) });
            };
            rows.extend(&payload[at..at + length]);
            at += length;
            let next = payload.get(at + 1).filter(|&&next| next == quote || next == escape);
            match next {
                Some(&escaped) if payload[at] == escape => {
                    rows.extend(&[escaped]);
                    at += 2;
                }
                _ if payload[at] == quote => return Ok(at + 1),
                _ => {
                    rows.extend(&[escape]);
                    at += 1;
                }
            }
        }
    }
}
