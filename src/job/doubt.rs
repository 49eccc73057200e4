//! Which rows a segment is likely to refuse: those with a field that does not look like its column's type. A guess that
//! only saves time: what is doubted in vain is copied in vain, what is refused undoubted is read again.

use crate::budget::Budget;
use crate::row::Rows;
use crate::table::Column;

/// Records are copied as they come: those of doubtful rows, and those that no row is made of.
#[derive(Debug, Clone)]
pub struct Copying {
    pub budget: Budget,
    pub doubts: Doubts,
}

/// What the fields of a row should look like; `None` is anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubts(Vec<Option<Shape>>);

/// The plain ways to write a value. A database takes more than these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// A sign and so many digits.
    Whole(usize),
    /// A sign, so many digits, and a fraction.
    Decimal(usize),
    Boolean,
    /// `2026-11-24`
    Date,
    /// `2026-11-24 07:30:00.123456+01:00`, or with a `T`.
    Timestamp,
    /// So many characters.
    Letters(usize),
}

impl Doubts {
    /// Of rows with these columns.
    pub fn of(columns: &[Column]) -> Self {
        Self(columns.iter().map(|column| Shape::of(&column.sql_type)).collect())
    }

    /// Whether one of the rows is doubtful.
    pub fn has(&self, rows: &Rows) -> bool {
        let is_doubtful = |(shape, field): (&Option<Shape>, Option<&[u8]>)| match (shape, field) {
            (Some(shape), Some(field)) => !shape.fits(field),
            _ => false,
        };
        rows.iter().any(|row| self.0.iter().zip(row).any(is_doubtful))
    }
}

impl Shape {
    fn of(sql_type: &str) -> Option<Self> {
        let sql_type = sql_type.to_ascii_lowercase();
        let (name, numbers) = sql_type.split_once('(').unwrap_or((&sql_type, ""));
        let (numbers, behind) = numbers.split_once(')').unwrap_or_default();
        let mut numbers = numbers.split(',').map(|number| number.trim().parse::<usize>().ok());
        let (first, second) = (numbers.next().flatten(), numbers.next().flatten());
        let words: Vec<&str> = name.split_whitespace().chain(behind.split_whitespace()).collect();
        // the largest that surely fit: one digit less than the type can have
        Some(match &words[..] {
            ["smallint" | "int2"] => Self::Whole(4),
            ["integer" | "int" | "int4"] => Self::Whole(9),
            ["bigint" | "int8"] => Self::Whole(18),
            ["numeric" | "decimal"] => {
                Self::Decimal(first.map_or(1000, |first| first - second.unwrap_or(0).min(first)))
            }
            ["real" | "float4" | "float8" | "float"] | ["double", "precision"] => Self::Decimal(30),
            ["boolean" | "bool"] => Self::Boolean,
            ["date"] => Self::Date,
            ["timestamp" | "timestamptz"] | ["timestamp", "with" | "without", "time", "zone"] => Self::Timestamp,
            ["varchar"] | ["character", "varying"] => Self::Letters(first?),
            ["char" | "character" | "bpchar"] => Self::Letters(first.unwrap_or(1)),
            _ => return None,
        })
    }

    fn fits(self, field: &[u8]) -> bool {
        let unsigned = field.strip_prefix(b"-").or_else(|| field.strip_prefix(b"+")).unwrap_or(field);
        let are_digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        match self {
            Self::Whole(digits) => unsigned.len() <= digits && are_digits(unsigned),
            Self::Decimal(digits) => match unsigned.iter().position(|byte| *byte == b'.') {
                None => unsigned.len() <= digits && are_digits(unsigned),
                Some(point) => point <= digits && are_digits(&unsigned[..point]) && are_digits(&unsigned[point + 1..]),
            },
            Self::Boolean => matches!(field, b"t" | b"f" | b"true" | b"false" | b"0" | b"1"),
            Self::Date => is_date(field),
            Self::Timestamp => field.split_at_checked(10).is_some_and(|(date, time)| is_date(date) && is_time(time)),
            // a character has a byte at least
            Self::Letters(letters) => {
                field.len() <= letters || field.iter().filter(|byte| **byte & 0xc0 != 0x80).count() <= letters
            }
        }
    }
}

/// A day that every month has.
fn is_date(field: &[u8]) -> bool {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = field else { return false };
    [y1, y2, y3, y4].iter().all(u8::is_ascii_digit)
        && (*b"0001" <= [y1, y2, y3, y4])
        && number([m1, m2]).is_some_and(|month| (1..=12).contains(&month))
        && number([d1, d2]).is_some_and(|day| (1..=28).contains(&day))
}

/// Behind the day: nothing, or a time with or without fraction and zone.
fn is_time(field: &[u8]) -> bool {
    if field.is_empty() {
        return true;
    }
    let Some((&[b' ' | b'T', h1, h2, b':', m1, m2, b':', s1, s2], rest)) = field.split_first_chunk::<9>() else {
        return false;
    };
    let digits = rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
    let zone = if rest.first() == Some(&b'.') && digits > 0 { &rest[1 + digits..] } else { rest };
    let is_zone = match zone {
        [] | b"Z" => true,
        [b'+' | b'-', h1, h2] => number([*h1, *h2]).is_some_and(|hours| hours < 15),
        [b'+' | b'-', h1, h2, b':', m1, m2] => {
            number([*h1, *h2]).is_some_and(|hours| hours < 15) && number([*m1, *m2]).is_some_and(|minutes| minutes < 60)
        }
        _ => false,
    };
    is_zone
        && number([h1, h2]).is_some_and(|hour| hour < 24)
        && [[m1, m2], [s1, s2]].into_iter().all(|part| number(part).is_some_and(|part| part < 60))
}

fn number(digits: [u8; 2]) -> Option<u8> {
    digits.iter().all(u8::is_ascii_digit).then(|| (digits[0] - b'0') * 10 + digits[1] - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Ident;

    fn fits(sql_type: &str, field: &str) -> bool {
        Shape::of(sql_type).is_none_or(|shape| shape.fits(field.as_bytes()))
    }

    #[test]
    fn what_looks_like_its_type_is_not_doubted() {
        for (sql_type, plain, doubtful) in [
            (
                "bigint",
                &["0", "-7", "+7", "999999999999999999"][..],
                &["", "x1", "1x", "-", "1.5", " 1", "9999999999999999999"][..],
            ),
            ("INT", &["123456789"], &["1234567890"]),
            ("smallint", &["1234"], &["12345"]),
            ("numeric", &["1", "-1.25", "000000057.57"], &["", ".5", "1.", "1e5", "NaN", "1,5", "1.2.3"]),
            ("numeric(5, 2)", &["123.456"], &["1234.5"]),
            ("numeric(2,5)", &[], &["1"]),
            ("double precision", &["1.5"], &["1e400", "inf"]),
            ("boolean", &["t", "false", "1"], &["maybe", "", "2"]),
            ("date", &["2026-11-24"], &["2026-13-01", "2026-02-30", "0000-01-01", "24.11.2026", "2026-1-1", ""]),
            (
                "timestamp(3) with time zone",
                &[
                    "2026-11-24",
                    "2026-11-24 07:30:00",
                    "2026-11-24T23:59:59.5Z",
                    "2026-11-24 07:30:00+01:30",
                    "2026-11-24 07:30:00.123-08",
                ],
                &[
                    "2026-11-24 24:00:00",
                    "2026-11-24 07:60:00",
                    "2026-11-24 07:30",
                    "2026-11-24 07:30:00.",
                    "2026-11-24 07:30:00 CET",
                    "yesterday",
                ],
            ),
            ("varchar(3)", &["", "abc", "äöü"], &["abcd", "äöüa"]),
            ("char", &["a"], &["ab"]),
            ("text", &["anything"], &[]),
            ("json", &["{"], &[]),
            ("varchar", &["anything"], &[]),
            ("bigint[]", &["{1}"], &[]),
            ("hstore", &["anything"], &[]),
        ] {
            for field in plain {
                assert!(fits(sql_type, field), "{sql_type} {field:?}");
            }
            for field in doubtful {
                assert!(!fits(sql_type, field), "{sql_type} {field:?}");
            }
        }
    }

    #[test]
    fn one_doubtful_field_is_enough_and_null_is_none() {
        let column = |name: &str, sql_type: &str| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
        let doubts = Doubts::of(&[column("id", "bigint"), column("note", "text"), column("at", "date")]);
        let mut rows = Rows::default();
        for (id, at) in [(Some("1"), Some("2026-11-24")), (None, None)] {
            for field in [id, Some("x"), at, Some("behind the columns")] {
                match field {
                    Some(field) => rows.field(field.as_bytes()),
                    None => rows.null(),
                }
            }
            rows.end_row();
        }
        assert!(!doubts.has(&rows));
        rows.field(b"2");
        rows.null();
        rows.field(b"today");
        rows.end_row();
        assert!(doubts.has(&rows));
    }
}
