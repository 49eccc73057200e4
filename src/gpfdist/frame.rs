//! Messages of protocol 1, both ways: a type byte, a big-endian length, a payload. Pure; `server` sends them, `client`
//! reads them. Public for the benchmark.

use bytes::{BufMut, Bytes, BytesMut};

/// Type byte and length.
pub const HEAD_BYTES: usize = 5;

/// A segment refuses a longer `F`.
pub const NAME_BYTES_MAX: usize = 256;

/// An `E` is buffered whole by the segment and shown to the user: a cause, not a report.
pub const ERROR_BYTES_MAX: usize = 2048;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `F`: names the source of the rows that follow; ends the segment's current read.
    Name,
    /// `O`: ignored by segments, which makes it the heartbeat.
    Offset,
    /// `L`: number of the next row.
    Line,
    /// `D`: rows, or the end where it is empty.
    Data,
    /// `E`: the scan has failed, with this text.
    Error,
}

/// Why five bytes are no head of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// An unknown type byte.
    #[error("unknown message type {0}")]
    Kind(u8),
    /// A length that the type cannot have.
    #[error("a message of {0} bytes, which its type cannot have")]
    Length(i32),
}

/// The type and payload length that a head announces.
///
/// # Errors
/// An unknown type, or a length that it cannot have: `O` and `L` carry 8 bytes, `F` at most 256.
pub fn parse_head(head: [u8; HEAD_BYTES]) -> Result<(Kind, usize), Malformed> {
    let [kind, length @ ..] = head;
    let length = i32::from_be_bytes(length);
    let kind = match kind {
        b'F' => Kind::Name,
        b'O' => Kind::Offset,
        b'L' => Kind::Line,
        b'D' => Kind::Data,
        b'E' => Kind::Error,
        other => return Err(Malformed::Kind(other)),
    };
    let bytes = usize::try_from(length).map_err(|_| Malformed::Length(length))?;
    let fits = match kind {
        Kind::Name => bytes <= NAME_BYTES_MAX,
        Kind::Offset | Kind::Line => bytes == 8,
        Kind::Data | Kind::Error => true,
    };
    if fits { Ok((kind, bytes)) } else { Err(Malformed::Length(length)) }
}

/// Everything of a block but its rows, where they come from a topic: named `topic/partition@first`, counted from 1.
pub fn block_head(topic: &str, partition: i32, first: i64, rows_bytes: i32) -> Bytes {
    head(&name(topic, partition, first), first, 1, rows_bytes)
}

/// Everything of a block but its rows, where they come from a file: its name (of one too long the beginning is left
/// out), and offset and line number of its first row.
pub fn file_head(file: &str, offset: i64, line: i64, rows_bytes: i32) -> Bytes {
    let cut = (0..=file.len()).find(|&at| file.is_char_boundary(at) && file.len() - at <= NAME_BYTES_MAX);
    head(&one_line(&file[cut.unwrap_or(0)..], NAME_BYTES_MAX), offset, line, rows_bytes)
}

/// `F` and `O` name the block, `L` sets the row count, `D` announces the rows.
///
/// `F` comes first because only it makes the segment start a fresh buffer; without it the row numbers of the error log
/// drift from the block they belong to.
fn head(name: &str, offset: i64, line: i64, rows_bytes: i32) -> Bytes {
    let mut head = BytesMut::with_capacity(4 * HEAD_BYTES + name.len() + 16);
    put(&mut head, b'F', name.as_bytes());
    put(&mut head, b'O', &offset.to_be_bytes());
    put(&mut head, b'L', &line.to_be_bytes());
    head.put_u8(b'D');
    head.put_i32(rows_bytes);
    head.freeze()
}

/// An `O` that says nothing: it shows the segment a living server, and the server a living segment.
pub fn heartbeat() -> Bytes {
    Bytes::from_static(b"O\0\0\0\x08\0\0\0\0\0\0\0\0")
}

/// The final `D`.
pub fn end() -> Bytes {
    Bytes::from_static(b"D\0\0\0\0")
}

/// An `E` with a cause, as one line.
pub fn error(text: &str) -> Bytes {
    let text = one_line(text, ERROR_BYTES_MAX);
    let mut message = BytesMut::with_capacity(HEAD_BYTES + text.len());
    put(&mut message, b'E', text.as_bytes());
    message.freeze()
}

/// Text without control characters, cut at a character to so many bytes.
pub fn one_line(text: &str, bytes_max: usize) -> String {
    let cut = (0..=bytes_max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text[..cut.unwrap_or(0)].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `topic/partition@first`; a topic too long for it loses its end, never the coordinates.
fn name(topic: &str, partition: i32, first: i64) -> String {
    let coordinates = format!("/{partition}@{first}");
    let topic = one_line(topic, NAME_BYTES_MAX - coordinates.len());
    topic + &coordinates
}

fn put(message: &mut BytesMut, kind: u8, payload: &[u8]) {
    message.put_u8(kind);
    message.put_i32(i32::try_from(payload.len()).expect("names and texts are cut to a few KiB"));
    message.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind and payload of each message; the last `D` may announce rows that are not there.
    fn messages(mut bytes: &[u8]) -> Vec<(Kind, Vec<u8>)> {
        let mut messages = Vec::new();
        while !bytes.is_empty() {
            let (kind, length) = parse_head(bytes[..HEAD_BYTES].try_into().unwrap()).unwrap();
            let end = (HEAD_BYTES + length).min(bytes.len());
            messages.push((kind, bytes[HEAD_BYTES..end].to_vec()));
            bytes = &bytes[end..];
        }
        messages
    }

    #[test]
    fn a_block_is_named_numbered_and_announced() {
        let head = block_head("orders", 3, 1 << 40, 77);
        assert_eq!(head[head.len() - 5..], *b"D\0\0\0M");
        assert_eq!(
            messages(&head),
            [
                (Kind::Name, b"orders/3@1099511627776".to_vec()),
                (Kind::Offset, (1i64 << 40).to_be_bytes().to_vec()),
                (Kind::Line, 1i64.to_be_bytes().to_vec()),
                (Kind::Data, Vec::new()),
            ]
        );
    }

    #[test]
    fn a_block_of_a_file_keeps_the_end_of_its_name() {
        let long = format!("/data/{}/ü.txt", "d".repeat(300));
        for file in ["/data/a.txt", long.as_str()] {
            let head = messages(&file_head(file, 4096, 78, 5));
            let name = String::from_utf8(head[0].1.clone()).unwrap();
            assert!(file.ends_with(&name) && name.len() == file.len().min(NAME_BYTES_MAX), "{name}");
            assert_eq!(head[1..3].iter().map(|(_, number)| number[7]).collect::<Vec<_>>(), [0, 78]);
        }
    }

    #[test]
    fn a_name_never_outgrows_what_segments_take() {
        for topic in ["t".repeat(249), "ü".repeat(200), "a\nb\0c".to_owned()] {
            let name = name(&topic, i32::MAX, i64::MAX);
            assert!(name.len() <= NAME_BYTES_MAX && name.ends_with("/2147483647@9223372036854775807"), "{name}");
            assert!(!name.contains(char::is_control));
        }
    }

    #[test]
    fn an_error_is_one_line_of_bounded_size() {
        assert_eq!(messages(&error("a\nb\0c")), [(Kind::Error, b"a b c".to_vec())]);
        assert_eq!(error(&"ü".repeat(5000)).len(), HEAD_BYTES + ERROR_BYTES_MAX);
    }

    #[test]
    fn heartbeat_and_end_are_whole_messages() {
        assert_eq!(messages(&heartbeat()), [(Kind::Offset, vec![0; 8])]);
        assert_eq!(messages(&end()), [(Kind::Data, Vec::new())]);
    }

    #[test]
    fn a_wrong_head_is_told_apart() {
        assert_eq!(parse_head(*b"X\0\0\0\0"), Err(Malformed::Kind(b'X')));
        assert_eq!(parse_head(*b"D\xff\xff\xff\xff"), Err(Malformed::Length(-1)));
        assert_eq!(parse_head(*b"O\0\0\0\x07"), Err(Malformed::Length(7)));
        assert_eq!(parse_head(*b"F\0\0\x01\x01"), Err(Malformed::Length(257)));
    }
}
