//! custom: the whole payload as it is, for a formatter of the database's own to take apart.

use super::{Cause, Parse};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "custom";

pub(super) struct Whole;

impl Parse for Whole {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        rows.field(payload);
        rows.end_row();
        Ok(())
    }

    fn room(&self, payload: &[u8]) -> Room {
        Room { bytes: payload.len(), fields: 1, rows: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{decoded, settings};

    #[test]
    fn every_byte_is_as_it_was() {
        let shown = |payload: &[u8]| decoded(&settings(Format::Custom, "a b"), Some(payload));
        assert_eq!(shown(b"a\tb\n\\\0\xff"), r"a\tb\n\\\x00\xff");
        assert_eq!(shown(b""), "''");
    }
}
