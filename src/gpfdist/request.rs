//! What a segment asks for: method, path and `X-GP-*` headers become a [`Request`], or a [`Refusal`] whose reason
//! reaches the user of the database. Pure; `server` calls it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::declared::{Declared, declared};
use super::frame::one_line;

/// Segments probe it when they have waited long; people may too.
pub(super) const STATUS_PATH: &str = "/gpfdist/status";

/// Longer than any that Greenplum sends (22) or that a `segment` command is given.
const ID_BYTES_MAX: usize = 64;

/// A status line is shown whole to the user: a sentence, not a report.
const REASON_BYTES_MAX: usize = 400;

/// How the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Protocol 0: bare rows, where an end cannot be told from a cut by everyone.
    Raw,
    /// Protocol 1: messages, with an explicit end.
    Framed,
}

/// A scan as one segment sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The transaction.
    pub xid: String,
    /// The command inside the session.
    pub cid: String,
    /// The scan inside the command.
    pub sn: String,
    /// Content id of the segment.
    pub segment: i32,
    pub protocol: Protocol,
}

/// A request that gets no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// HTTP status, 4xx or 5xx.
    pub status: u16,
    /// One line of bounded size without secrets: it becomes the reason phrase.
    pub reason: String,
}

impl Refusal {
    pub(super) fn new(status: u16, reason: impl AsRef<str>) -> Self {
        Self { status, reason: one_line(reason.as_ref(), REASON_BYTES_MAX) }
    }
}

/// Refuses every method but GET, with a reason that fits who would send it.
pub(super) fn check_method(method: &str) -> Result<(), Refusal> {
    match method {
        "GET" => Ok(()),
        "POST" => Err(Refusal::new(405, "gpkafka only gives rows: a writable external table cannot write to it")),
        other => Err(Refusal::new(405, format!("method {other} is not supported: rows are read with GET"))),
    }
}

/// Reads the `X-GP-*` headers; names compare without case, unknown ones are passed over.
///
/// # Errors
/// 400 for what is missing, malformed, given twice with different values, or declared as something other than the TEXT
/// rows without header that this server sends.
pub(super) fn parse<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Request, Refusal> {
    let given = Given::of(headers)?;
    if let Some(options) = given.csv_options {
        check_declaration(options)?;
    }
    given.request()
}

/// What else a segment says that reads a file.
#[derive(Debug, Clone)]
pub(super) struct Terms {
    pub declared: Declared,
    /// Segments of the cluster; how many of them will come nobody knows.
    pub segments: usize,
}

/// As [`parse`], for rows that are served as they are: they may be declared as anything. Who gives none of the three ids
/// of a scan has one alone.
///
/// # Errors
/// 400 for what is missing, malformed or given twice with different values, 501 for a transformation.
pub(super) fn parse_for_file<'a>(
    headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(Request, Terms), Refusal> {
    static STRANGERS: AtomicU64 = AtomicU64::new(0);
    let given = Given::of(headers)?;
    if given.transform.is_some() {
        return Err(Refusal::new(501, "gpkafka serve has no transformations: leave #transform=… out of the LOCATION"));
    }
    let declared = declared(given.csv_options, given.row_delimiter, given.row_delimiter_bytes)?;
    if let (None, None, None) = (given.xid, given.cid, given.sn) {
        let xid = format!("nobody-{}", STRANGERS.fetch_add(1, Ordering::Relaxed));
        let (protocol, nothing) = (protocol(given.proto)?, String::new());
        let request = Request { xid, cid: nothing.clone(), sn: nothing, segment: 0, protocol };
        return Ok((request, Terms { declared, segments: 1 }));
    }
    let count = given.segments.and_then(|count| str::from_utf8(count).ok()?.parse().ok());
    Ok((given.request()?, Terms { declared, segments: count.unwrap_or(usize::MAX) }))
}

/// Reads what may be a request, for whoever wants to know that nothing that comes over the network does harm.
///
/// # Errors
/// The reason that its sender would be given.
pub fn check<'a>(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<(), String> {
    let headers: Vec<_> = headers.into_iter().collect();
    let of_a_file = parse_for_file(headers.iter().copied()).map(drop);
    parse(headers).map(drop).and(of_a_file).map_err(|refusal| refusal.reason)
}

/// The headers that count, as they came.
#[derive(Default)]
struct Given<'a> {
    xid: Option<&'a [u8]>,
    cid: Option<&'a [u8]>,
    sn: Option<&'a [u8]>,
    segment: Option<&'a [u8]>,
    proto: Option<&'a [u8]>,
    csv_options: Option<&'a [u8]>,
    segments: Option<&'a [u8]>,
    row_delimiter: Option<&'a [u8]>,
    row_delimiter_bytes: Option<&'a [u8]>,
    transform: Option<&'a [u8]>,
}

impl<'a> Given<'a> {
    fn of(headers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Refusal> {
        let mut given = Self::default();
        for (name, value) in headers {
            given.take(name, value)?;
        }
        Ok(given)
    }

    fn request(&self) -> Result<Request, Refusal> {
        Ok(Request {
            protocol: protocol(self.proto)?,
            xid: id("X-GP-XID", self.xid)?,
            cid: id("X-GP-CID", self.cid)?,
            sn: id("X-GP-SN", self.sn)?,
            segment: segment(self.segment)?,
        })
    }

    fn take(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        let places = [
            ("X-GP-XID", &mut self.xid),
            ("X-GP-CID", &mut self.cid),
            ("X-GP-SN", &mut self.sn),
            ("X-GP-SEGMENT-ID", &mut self.segment),
            ("X-GP-PROTO", &mut self.proto),
            ("X-GP-CSVOPT", &mut self.csv_options),
            ("X-GP-SEGMENT-COUNT", &mut self.segments),
            ("X-GP-LINE-DELIM-STR", &mut self.row_delimiter),
            ("X-GP-LINE-DELIM-LENGTH", &mut self.row_delimiter_bytes),
            ("X-GP-TRANSFORM", &mut self.transform),
        ];
        let Some((known, place)) = places.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Ok(());
        };
        match place.replace(value) {
            Some(before) if before != value => {
                Err(Refusal::new(400, format!("header {known} was given twice, with different values")))
            }
            _ => Ok(()),
        }
    }
}

fn missing(name: &str) -> Refusal {
    Refusal::new(400, format!("header {name} is missing: only a segment reading an external table may ask"))
}

fn id(name: &str, value: Option<&[u8]>) -> Result<String, Refusal> {
    let value = value.filter(|value| !value.is_empty()).ok_or_else(|| missing(name))?;
    let text = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    match text {
        Some(text) if text.len() <= ID_BYTES_MAX => Ok(text.to_owned()),
        _ => {
            Err(Refusal::new(400, format!("header {name} is not an id of at most {ID_BYTES_MAX} printable characters")))
        }
    }
}

fn segment(value: Option<&[u8]>) -> Result<i32, Refusal> {
    let value = value.ok_or_else(|| missing("X-GP-SEGMENT-ID"))?;
    let number = str::from_utf8(value).ok().and_then(|text| text.parse::<i32>().ok()).filter(|&number| number >= 0);
    number.ok_or_else(|| Refusal::new(400, "header X-GP-SEGMENT-ID is not a number from 0"))
}

fn protocol(value: Option<&[u8]>) -> Result<Protocol, Refusal> {
    match value {
        Some(b"1") => Ok(Protocol::Framed),
        Some(b"0") => Ok(Protocol::Raw),
        Some(_) => Err(Refusal::new(400, "header X-GP-PROTO is neither 0 nor 1")),
        None => Err(missing("X-GP-PROTO")),
    }
}

/// `m1…` is a table declared CSV, `…h1` one declared HEADER: both would misread what is sent.
fn check_declaration(options: &[u8]) -> Result<(), Refusal> {
    if options.starts_with(b"m1") {
        return Err(Refusal::new(400, "the external table is declared CSV, but gpkafka sends TEXT"));
    }
    if memchr::memmem::find(options, b"h1").is_some() {
        return Err(Refusal::new(400, "the external table is declared HEADER, but gpkafka sends none"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 6] = [
        ("X-GP-XID", "1795366663-0000000023"),
        ("x-gp-cid", "7"),
        ("X-Gp-Sn", "0"),
        ("X-GP-SEGMENT-ID", "1"),
        ("X-GP-PROTO", "1"),
        ("X-GP-CSVOPT", "m0x 92q  0n1h0"),
    ];

    fn parsed(headers: &[(&str, &str)]) -> Result<Request, Refusal> {
        parse(headers.iter().map(|&(name, value)| (name, value.as_bytes())))
    }

    fn reason_with(name: &str, value: &str) -> String {
        let headers = GOOD.map(|(known, good)| (known, if known == name { value } else { good }));
        let refusal = parsed(&headers).unwrap_err();
        assert_eq!(refusal.status, 400);
        refusal.reason
    }

    #[test]
    fn names_compare_without_case() {
        let request = parsed(&GOOD).unwrap();
        let expected = Request {
            xid: "1795366663-0000000023".to_owned(),
            cid: "7".to_owned(),
            sn: "0".to_owned(),
            segment: 1,
            protocol: Protocol::Framed,
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn what_is_missing_is_named() {
        for (at, (name, _)) in GOOD.iter().enumerate().take(5) {
            let mut headers = GOOD.to_vec();
            headers.remove(at);
            let refusal = parsed(&headers).unwrap_err();
            assert_eq!(refusal.status, 400);
            assert!(refusal.reason.to_lowercase().contains(&name.to_lowercase()), "{}", refusal.reason);
        }
    }

    #[test]
    fn what_is_malformed_is_named() {
        assert!(reason_with("X-GP-PROTO", "2").contains("neither 0 nor 1"));
        assert!(reason_with("X-GP-SEGMENT-ID", "-1").contains("X-GP-SEGMENT-ID"));
        assert!(reason_with("X-GP-XID", &"9".repeat(65)).contains("X-GP-XID"));
        assert!(reason_with("X-GP-XID", "a b").contains("X-GP-XID"));
        assert!(reason_with("X-GP-CSVOPT", "m1x 34q 34n1h0").contains("CSV"));
        assert!(reason_with("X-GP-CSVOPT", "m0x 92q  0n1h1").contains("HEADER"));
    }

    #[test]
    fn twice_is_fine_only_with_one_value() {
        let mut headers = GOOD.to_vec();
        headers.push(("x-gp-xid", "1795366663-0000000023"));
        assert!(parsed(&headers).is_ok());
        headers.push(("x-gp-xid", "other"));
        assert!(parsed(&headers).unwrap_err().reason.contains("twice"));
    }

    #[test]
    fn a_file_is_read_as_anything_and_by_anybody() {
        let of = |headers: &[(&str, &str)]| {
            parse_for_file(headers.iter().map(|&(name, value)| (name, value.as_bytes())))
                .map_err(|refusal| refusal.status)
        };
        let csv = [("X-GP-CSVOPT", "m1x 34q 34n0h1"), ("X-GP-SEGMENT-COUNT", "2")];
        let (request, terms) = of(&[&GOOD[..5], &csv].concat()).unwrap();
        assert_eq!((request.segment, terms.segments, terms.declared.header), (1, 2, true));
        let (one, _) = of(&[("X-GP-PROTO", "0")]).unwrap();
        let (other, _) = of(&[("X-GP-PROTO", "0")]).unwrap();
        assert_ne!(one.xid, other.xid);
        assert_eq!(of(&[]).unwrap_err(), 400);
        assert_eq!(of(&GOOD[1..]).unwrap_err(), 400, "some ids, not all");
        assert_eq!(of(&[&GOOD[..5], &[("X-GP-TRANSFORM", "xml")]].concat()).unwrap_err(), 501);
    }

    #[test]
    fn only_get_is_answered() {
        assert!(check_method("GET").is_ok());
        for method in ["HEAD", "PUT", "DELETE", "POST", "BREW"] {
            assert_eq!(check_method(method).unwrap_err().status, 405);
        }
    }

    #[test]
    fn a_reason_is_one_bounded_line() {
        let refusal = Refusal::new(500, "a\r\nSet-Cookie: x".repeat(100));
        assert!(refusal.reason.len() <= REASON_BYTES_MAX && !refusal.reason.contains(['\r', '\n']));
    }
}
