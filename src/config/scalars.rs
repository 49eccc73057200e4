//! What a single value may be: numbers with their bounds, names, durations, words of a list. Each function takes a node
//! and says what it must be if it isn't. Called through `fields.rs`.

use std::time::Duration;

use crate::config::fields::{Wrong, must_be, nearest};
use crate::config::job::{ErrorLimit, Idle, Partitions};
use crate::config::yaml::{Content, Node};
use crate::table::Ident;

/// Any scalar, as it is written: `TOPIC: 2024` is a topic too.
pub(super) fn text(node: &Node) -> Result<String, Wrong> {
    let text = match &node.content {
        Content::Text(text) => text,
        Content::Bool { written, .. } | Content::Integer { written, .. } | Content::Float { written } => written,
        _ => return Err(must_be("a text", node)),
    };
    if text.contains('\0') {
        return Err(mistake("holds a NUL byte, which neither SQL nor Kafka's client can take"));
    }
    Ok(text.clone())
}

/// A text that says something, without the spaces around it.
pub(super) fn trimmed(node: &Node) -> Result<String, Wrong> {
    let text = text(node)?.trim().to_owned();
    if text.is_empty() { Err(mistake("is blank")) } else { Ok(text) }
}

pub(super) fn mistake(text: impl Into<String>) -> Wrong {
    Wrong { text: text.into(), hint: None }
}

/// A name in SQL, in double quotes where it must not be folded to lower case.
pub(super) fn ident(node: &Node) -> Result<Ident, Wrong> {
    let written = trimmed(node)?;
    let is_quoted = written.len() > 1 && written.starts_with('"') && written.ends_with('"');
    let inner = if is_quoted { &written[1..written.len() - 1] } else { &written };
    if inner.is_empty() {
        return Err(mistake("is an empty name"));
    }
    if inner.replace("\"\"", "").contains('"') {
        return Err(mistake(format!("has a double quote too many or too few: `{written}`")));
    }
    Ok(Ident::from_written(&written))
}

/// The name of a table, its schema apart.
pub(super) fn table(node: &Node) -> Result<Ident, Wrong> {
    let name = ident(node)?;
    let written = trimmed(node)?;
    if let Some((schema, table)) = written.split_once('.').filter(|_| !written.starts_with('"')) {
        let hint = Some(format!("write `SCHEMA: {schema}` and `TABLE: {table}`"));
        return Err(Wrong { text: format!("is one name, not `{written}`"), hint });
    }
    Ok(name)
}

/// A whole number, also in quotes.
fn integer(node: &Node) -> Option<i128> {
    match &node.content {
        Content::Integer { number, .. } => Some(*number),
        Content::Text(text) => text.trim().parse().ok(),
        _ => None,
    }
}

pub(super) fn port(node: &Node) -> Result<u16, Wrong> {
    let port = integer(node).and_then(|number| u16::try_from(number).ok()).filter(|&port| port > 0);
    port.ok_or_else(|| must_be("a port from 1 to 65535", node))
}

/// A port to listen at; 0 is any that is free.
pub(super) fn own_port(node: &Node) -> Result<u16, Wrong> {
    let port = integer(node).and_then(|number| u16::try_from(number).ok());
    port.ok_or_else(|| must_be("a port from 1 to 65535, or 0 for any that is free", node))
}

/// 0 or more.
pub(super) fn count(node: &Node) -> Result<u64, Wrong> {
    let count = integer(node).and_then(|number| u64::try_from(number).ok());
    count.ok_or_else(|| must_be("a whole number, 0 or more", node))
}

/// Any whole number: where less than 0 means "for ever".
pub(super) fn signed(node: &Node) -> Result<i64, Wrong> {
    let number = integer(node).and_then(|number| i64::try_from(number).ok());
    number.ok_or_else(|| must_be("a whole number", node))
}

pub(super) fn milliseconds(node: &Node) -> Result<Duration, Wrong> {
    let milliseconds = count(node).map_err(|_| must_be("a number of milliseconds, 0 or more", node))?;
    Ok(Duration::from_millis(milliseconds))
}

pub(super) fn idle(node: &Node) -> Result<Idle, Wrong> {
    match integer(node).and_then(|number| i64::try_from(number).ok()) {
        Some(0) => Ok(Idle::Off),
        Some(-1) => Ok(Idle::Wait),
        Some(milliseconds @ 1..) => Ok(Idle::CommitAfter(Duration::from_millis(milliseconds.unsigned_abs()))),
        _ => Err(must_be("a number of milliseconds, 0 (off) or -1 (never stop)", node)),
    }
}

/// The words that YAML 1.1 took for truth too, as the original's files have them.
pub(super) fn truth(node: &Node) -> Result<bool, Wrong> {
    let is_true = match &node.content {
        Content::Bool { is_true, .. } => Some(*is_true),
        Content::Text(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        },
        _ => None,
    };
    is_true.ok_or_else(|| must_be("true or false", node))
}

/// What others call what we call so, though it reads like something else.
const SYNONYMS: [(&str, &str); 1] = [("upsert", "merge")];

/// One of some words, in any case.
pub(super) fn word<T: Copy>(node: &Node, words: &[(&str, T)]) -> Result<T, Wrong> {
    let names = || words.iter().map(|(name, _)| *name);
    let expected = || match names().collect::<Vec<_>>().split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names().collect(),
    };
    let Ok(text) = text(node) else { return Err(must_be(&expected(), node)) };
    if let Some((_, value)) = words.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())) {
        return Ok(*value);
    }
    let other = SYNONYMS.iter().find(|(other, _)| other.eq_ignore_ascii_case(text.trim())).map(|(_, name)| *name);
    let meant = other.filter(|meant| names().any(|name| name == *meant)).or_else(|| nearest(&text, names()));
    let hint = meant.map(|meant| format!("did you mean `{meant}`?"));
    Err(Wrong { hint, ..must_be(&expected(), node) })
}

/// `25` or `10%`.
pub(super) fn error_limit(node: &Node) -> Result<ErrorLimit, Wrong> {
    let wrong = || must_be("a number of records or a whole percentage up to `100%`", node);
    let text = text(node).map_err(|_| wrong())?;
    let limit = match text.trim().strip_suffix('%') {
        Some(percent) => percent.trim().parse().ok().filter(|&percent| percent <= 100).map(ErrorLimit::Percent),
        None => count(node).ok().map(ErrorLimit::Records),
    };
    limit.ok_or_else(wrong)
}

/// What PARTITIONS may name: more than any topic has, few enough to be listed.
const PARTITIONS_MAX: i64 = 10_000;

/// `(2, 5...7, 10)`.
pub(super) fn partitions(node: &Node) -> Result<Partitions, Wrong> {
    let wrong = || must_be("partition numbers in parentheses like `(2, 5...7, 10)`", node);
    let text = text(node).map_err(|_| wrong())?;
    let list = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
    let mut ranges = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once("...").unwrap_or((part, part));
        let (first, last) = (partition(first).ok_or_else(wrong)?, partition(last).ok_or_else(wrong)?);
        if first > last {
            return Err(mistake(format!("has a range that runs backwards: `{}`", part.trim())));
        }
        ranges.push(first..=last);
    }
    ranges.sort_by_key(|range| *range.start());
    let mut joined: Vec<std::ops::RangeInclusive<i32>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(before) if *range.start() <= before.end().saturating_add(1) => {
                *before = *before.start()..=(*before.end()).max(*range.end());
            }
            _ => joined.push(range),
        }
    }
    let count: i64 = joined.iter().map(|range| i64::from(*range.end()) - i64::from(*range.start()) + 1).sum();
    if count > PARTITIONS_MAX {
        return Err(mistake(format!("names {count} partitions: a job reads {PARTITIONS_MAX} at most")));
    }
    Ok(Partitions(joined))
}

fn partition(text: &str) -> Option<i32> {
    text.trim().parse().ok().filter(|&number| number >= 0)
}

/// `host:port` parted by commas; 9092 where none is given, as the original and librdkafka have it.
pub(super) fn brokers(node: &Node) -> Result<String, Wrong> {
    let text = text(node).map_err(|_| must_be("brokers like `host:9092, host:9092`", node))?;
    let brokers: Result<Vec<_>, _> = text.split(',').map(|broker| broker_of(broker.trim())).collect();
    Ok(brokers?.join(","))
}

/// What librdkafka takes before an address; it ignores a broker with any other.
const SCHEMES: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];

fn broker_of(broker: &str) -> Result<String, Wrong> {
    const PORT: &str = "9092";
    let wrong = |why: &str| mistake(format!("has a broker `{broker}` {why}"));
    let (scheme, address) = match broker.split_once("://") {
        Some((scheme, address)) if SCHEMES.iter().any(|known| known.eq_ignore_ascii_case(scheme)) => {
            (format!("{scheme}://"), address)
        }
        Some(_) => return Err(wrong("that is no `host:port`, nor one after plaintext://, ssl:// or sasl_ssl://")),
        None => (String::new(), broker),
    };
    let bare = address.ends_with(']') || !address.contains(':');
    let (host, port) = if bare { (address, PORT) } else { address.rsplit_once(':').unwrap_or((address, PORT)) };
    let is_v6 = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() {
        return Err(wrong("without a host"));
    }
    if host.contains(char::is_whitespace) || (host.contains(':') && !is_v6) {
        return Err(wrong("that is no `host:port`"));
    }
    if !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(wrong("whose port is not one from 1 to 65535"));
    }
    Ok(format!("{scheme}{host}:{port}"))
}

/// SQL without the semicolons that people end it with.
pub(super) fn condition(node: &Node) -> Result<String, Wrong> {
    let sql = text(node).map_err(|_| must_be("an SQL condition", node))?;
    let sql = sql.trim().trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    if sql.is_empty() { Err(mistake("has no condition in it")) } else { Ok(sql.to_owned()) }
}

/// `300s`, `1h30m`, `-1s`: units d, h, m, s and ms. Less than zero where that means "never".
pub(super) fn duration(node: &Node) -> Result<i128, Wrong> {
    let wrong = || must_be("a duration with its unit (ms, s, m, h or d), like `300s`", node);
    let text = text(node).map_err(|_| wrong())?;
    let text = text.trim();
    let (sign, mut rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut milliseconds: i128 = 0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let unit = match unit.trim() {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        milliseconds += i128::from(number.parse::<u32>().map_err(|_| wrong())?) * unit;
        rest = after;
    }
    Ok(sign * milliseconds)
}

/// `23:30` or `23:30:00`.
pub(super) fn clock(node: &Node) -> Result<jiff::civil::Time, Wrong> {
    let wrong = || must_be("a time of day like `23:30:00`", node);
    let text = text(node).map_err(|_| wrong())?;
    let parts: Option<Vec<i8>> = text.trim().split(':').map(|part| part.parse().ok()).collect();
    let (hour, minute, second) = match parts.ok_or_else(wrong)?[..] {
        [hour, minute] => (hour, minute, 0),
        [hour, minute, second] => (hour, minute, second),
        _ => return Err(wrong()),
    };
    jiff::civil::Time::new(hour, minute, second, 0).map_err(|_| wrong())
}

/// One byte, also as `\t` or `\x01`.
pub(super) fn byte(node: &Node) -> Result<u8, Wrong> {
    let bytes = bytes(node)?;
    match bytes[..] {
        [0 | b'\n' | b'\r'] => Err(mistake("may not be a line break or NUL")),
        [byte] if byte.is_ascii() => Ok(byte),
        _ => Err(must_be("one ASCII character, or an escape of one like `\\t` or `\\x01`", node)),
    }
}

/// A text in which `\t`, `\n`, `\r`, `\b`, `\f`, `\v`, `\\`, `\xHH` stand for bytes. A backslash alone is itself.
pub(super) fn bytes(node: &Node) -> Result<Vec<u8>, Wrong> {
    let text = text(node)?;
    if text == "\\" {
        return Ok(vec![b'\\']);
    }
    let mut bytes = Vec::new();
    let mut rest = text.as_str();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let (byte, length) = escaped(rest).ok_or_else(|| {
            mistake(format!("has an escape in it that nobody knows: `\\{}`", rest.chars().take(1).collect::<String>()))
        })?;
        bytes.push(byte);
        rest = &rest[length..];
    }
    Ok(bytes)
}

/// The byte behind a backslash, and how long its name is.
fn escaped(rest: &str) -> Option<(u8, usize)> {
    let byte = match rest.bytes().next()? {
        b't' => b'\t',
        b'n' => b'\n',
        b'r' => b'\r',
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        plain @ (b'\\' | b'\'' | b'"') => plain,
        b'x' => return u8::from_str_radix(rest.get(1..3)?, 16).ok().map(|byte| (byte, 3)),
        _ => return None,
    };
    Some((byte, 1))
}
