//! binary: the whole payload as one `bytea`, in its hex form.

use super::{Cause, Parse, hex};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "binary";

pub(super) struct Binary;

impl Parse for Binary {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        rows.extend(b"\\x");
        hex::write(payload, |digits| rows.extend(digits));
        rows.end_field();
        rows.end_row();
        Ok(())
    }

    fn room(&self, payload: &[u8]) -> Room {
        Room { bytes: 2 + 2 * payload.len(), fields: 1, rows: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::super::tests::{decoded, settings};

    #[test]
    fn any_bytes_become_hex() {
        let settings = settings(Format::Binary, "image");
        assert_eq!(decoded(&settings, Some(b"")), r"\\x");
        assert_eq!(decoded(&settings, Some(b"\x00\xff\n0")), r"\\x00ff0a30");
        let all: Vec<u8> = (0..=u8::MAX).cycle().take(1000).collect();
        let hex: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(decoded(&settings, Some(&all)), format!(r"\\x{hex}"));
    }
}
