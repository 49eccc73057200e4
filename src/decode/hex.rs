//! Bytes as two digits each, for every format that shows any.

/// Both digits of every byte: one look-up a byte instead of two.
static DIGITS: [[u8; 2]; 256] = digits();

/// Bytes that are turned to hex at once, on the stack, so that what takes the digits grows by whole slices.
const SLICE_BYTES: usize = 256;

/// Hands over the digits of all bytes, in order.
pub(super) fn write(bytes: &[u8], mut put: impl FnMut(&[u8])) {
    let mut hex = [[0; 2]; SLICE_BYTES];
    for slice in bytes.chunks(SLICE_BYTES) {
        for (digits, &byte) in hex.iter_mut().zip(slice) {
            *digits = of(byte);
        }
        put(hex[..slice.len()].as_flattened());
    }
}

/// The digits of one byte.
pub(super) fn of(byte: u8) -> [u8; 2] {
    DIGITS[usize::from(byte)]
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
    #[test]
    fn any_bytes_have_two_digits_each() {
        let all: Vec<u8> = (0..=u8::MAX).cycle().take(1000).collect();
        let mut text = Vec::new();
        super::write(&all, |digits| text.extend_from_slice(digits));
        let expected: String = all.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, expected.as_bytes());
    }
}
