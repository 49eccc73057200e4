//! What a segment says about the format of its external table: where the rows of a file end, whether one leads that is
//! none. Pure; `scans` asks for it.

use super::request::Refusal;

/// What ends a row where no NEWLINE is declared.
const LF: &[u8] = b"\n";

/// Longest row delimiter: Greenplum's formatters take a few bytes.
const DELIMITER_BYTES_MAX: usize = 64;

/// The format of an external table, as far as it matters for cutting a file into rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Of CSV: quote and escape. `None` of TEXT and of what a formatter reads.
    pub csv: Option<Quoting>,
    /// What ends a row.
    pub row_end: Vec<u8>,
    /// The first row of each file is none.
    pub header: bool,
}

/// How CSV hides a row's end inside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoting {
    pub quote: u8,
    pub escape: u8,
}

impl Default for Declared {
    fn default() -> Self {
        Self { csv: None, row_end: LF.to_vec(), header: false }
    }
}

/// Reads `X-GP-CSVOPT`, `X-GP-LINE-DELIM-STR` and `X-GP-LINE-DELIM-LENGTH`; each may be absent.
///
/// # Errors
/// 400 for what is malformed.
pub(super) fn declared(
    options: Option<&[u8]>,
    delimiter: Option<&[u8]>,
    delimiter_bytes: Option<&[u8]>,
) -> Result<Declared, Refusal> {
    let options = options.map_or(Ok(Options::default()), |text| {
        Options::read(text).ok_or_else(|| Refusal::new(400, "bad request, csvopt doesn't match the format"))
    })?;
    let delimiter = row_delimiter(delimiter, delimiter_bytes)?;
    let is_csv = options.csv == 1;
    let row_end = match (options.newline, is_csv) {
        (2, true) => b"\r".to_vec(),
        (3, true) => b"\r\n".to_vec(),
        (_, true) => LF.to_vec(),
        (_, false) => delimiter.unwrap_or_else(|| LF.to_vec()),
    };
    Ok(Declared {
        csv: is_csv.then_some(Quoting { quote: options.quote, escape: options.escape }),
        row_end,
        header: options.header == 1,
    })
}

/// `m1x 34q 34n1h1`: CSV, escape, quote, NEWLINE, HEADER. Greenplum 4 has the last two the other way round.
#[derive(Debug, PartialEq, Eq)]
struct Options {
    csv: u8,
    escape: u8,
    quote: u8,
    newline: u8,
    header: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { csv: 0, escape: b'\\', quote: 0, newline: 0, header: 0 }
    }
}

impl Options {
    fn read(text: &[u8]) -> Option<Self> {
        let mut rest = str::from_utf8(text).ok()?;
        let mut numbers = [None; 5];
        while let Some(letter) = rest.chars().next() {
            let at = "mxqnh".find(letter)?;
            let number = rest[1..].trim_start();
            let end = number.find(|char: char| !char.is_ascii_digit()).unwrap_or(number.len());
            if numbers[at].replace(number[..end].parse().ok()?).is_some() {
                return None;
            }
            rest = number[end..].trim_start();
        }
        let [csv, escape, quote, newline, header] = numbers;
        Some(Self { csv: csv?, escape: escape?, quote: quote?, newline: newline?, header: header? })
    }
}

/// `0D0A` and its length; a length of −1 or none at all says nothing.
fn row_delimiter(hex: Option<&[u8]>, bytes: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
    let said = bytes.and_then(|bytes| str::from_utf8(bytes).ok()).and_then(|text| text.parse::<i64>().ok());
    let Some(length) = said.and_then(|length| usize::try_from(length).ok()).filter(|length| *length > 0) else {
        return Ok(None);
    };
    let decoded = hex.and_then(unhexed).ok_or_else(|| Refusal::new(400, "invalid EOL encoding"))?;
    if decoded.len() != length || length > DELIMITER_BYTES_MAX {
        return Err(Refusal::new(400, "invalid EOL length"));
    }
    Ok(Some(decoded))
}

fn unhexed(hex: &[u8]) -> Option<Vec<u8>> {
    let text = str::from_utf8(hex).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let pairs = (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok());
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(options: &str, hex: &str, bytes: &str) -> Result<Declared, String> {
        let given = |text: &'static str| Some(text).filter(|text| !text.is_empty()).map(str::as_bytes);
        let leak = |text: &str| given(Box::leak(text.to_owned().into_boxed_str()));
        declared(leak(options), leak(hex), leak(bytes)).map_err(|refusal| refusal.reason)
    }

    #[test]
    fn what_greenplum_sends_is_understood() {
        assert_eq!(of("", "", ""), Ok(Declared::default()));
        assert_eq!(of("m0x 92q  0n0h0", "", "-1"), Ok(Declared::default()));
        let csv = of("m1x 34q 34n1h1", "0A", "1").unwrap();
        assert_eq!((csv.csv, csv.header), (Some(Quoting { quote: b'"', escape: b'"' }), true));
        assert_eq!(of("m1x 92q 39h1n3", "", "-1").unwrap().row_end, b"\r\n");
        assert_eq!(of("m0x 92q  0n3h0", "0D0A", "2").unwrap().row_end, b"\r\n");
        assert_eq!(of("m0x 92q  0n0h0", "7c0a", "2").unwrap().row_end, b"|\n");
        // ESCAPE 'off'
        assert_eq!(of("m0x111q  0n0h0", "", "-1"), Ok(Declared::default()));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for options in ["x", "m1", "m1x 34q 34n1", "m1x 34q 34n1h1m1", "m1x 34q 34n1h1z", "m1x999q 34n1h1", "ü"] {
            assert!(of(options, "", "").unwrap_err().contains("csvopt"), "{options}");
        }
        assert_eq!(of("", "0D0", "2").unwrap_err(), "invalid EOL encoding");
        assert_eq!(of("", "+A", "1").unwrap_err(), "invalid EOL encoding");
        assert_eq!(of("", "", "1").unwrap_err(), "invalid EOL encoding");
        assert_eq!(of("", "0D0A", "1").unwrap_err(), "invalid EOL length");
    }
}
