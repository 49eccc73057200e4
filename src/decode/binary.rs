//! binary: the whole payload as one `bytea`, in its hex form.

use super::{Cause, Parse};
use crate::row::Rows;

pub(super) const NAME: &str = "binary";

/// Both digits of every byte: one look-up a byte instead of two.
static DIGITS: [[u8; 2]; 256] = digits();

/// Bytes that are turned to hex at once, on the stack, so that the row's buffer grows by whole slices.
const SLICE_BYTES: usize = 256;

pub(super) struct Binary;

impl Parse for Binary {
    const FORMAT: &'static str = NAME;

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
