//! binary: the whole payload as one `bytea`, in its hex form.

use super::{Cause, Parse};
use crate::row::{Room, Rows};

pub(super) const NAME: &str = "binary";

/// Both digits of every byte: one look-up a byte instead of two.
static DIGITS: [[u8; 2]; 256] = digits();

/// Bytes that are turned to hex at once, on the stack, so that the row's buffer grows by whole slices.
const SLICE_BYTES: usize = 256;

pub(super) struct Binary;

impl Parse for Binary {
    fn format(&self) -> &'static str {
        NAME
    }

    fn parse(&mut self, payload: &[u8], rows: &mut Rows) -> Result<(), Cause> {
        rows.extend(b"\\x");
        let mut hex = [[0; 2]; SLICE_BYTES];
        for slice in payload.chunks(SLICE_BYTES) {
            for (digits, &byte) in hex.iter_mut().zip(slice) {
                *digits = DIGITS[usize::from(byte)];
            }
            rows.extend(hex[..slice.len()].as_flattened());
        }
        rows.end_field();
        rows.end_row();
        Ok(())
    }

    fn room(&self, payload: &[u8]) -> Room {
        Room { bytes: 2 + 2 * payload.len(), fields: 1, rows: 1 }
    }
}

const fn digits() -> [[u8; 2]; 256] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        digits[byte] = [HEX[byte / 16], HEX[byte % 16]];
        byte += 1;
    }
    digits
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
