//! What a column is of which some values are known: the narrowest type that takes them all. Pure.

/// What values of one column have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nothing but NULL.
    Nothing,
    Boolean,
    Int,
    BigInt,
    Numeric,
    /// With an exponent, so nobody meant an exact number.
    Double,
    Date,
    Timestamp,
    Timestamptz,
    Uuid,
    Bytes,
    Text,
    /// Objects and lists.
    Json,
}

impl Kind {
    /// What both are, without loss: each pair has one such kind, and the order of values does not matter.
    pub fn or(self, other: Self) -> Self {
        use Kind::{BigInt, Date, Double, Int, Json, Nothing, Numeric, Text, Timestamp};
        match (self, other) {
            (one, two) if one == two => one,
            (Nothing, one) | (one, Nothing) => one,
            (Json, _) | (_, Json) => Json,
            (Int, BigInt) | (BigInt, Int) => BigInt,
            (Int | BigInt | Numeric | Double, Int | BigInt | Numeric | Double) => Numeric,
            (Date, Timestamp) | (Timestamp, Date) => Timestamp,
            // with a zone and without: nobody knows which zone the others mean
            _ => Text,
        }
    }

    /// The type of SQL.
    pub fn sql_type(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int => "integer",
            Self::BigInt => "bigint",
            Self::Numeric => "numeric",
            Self::Double => "double precision",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Timestamptz => "timestamptz",
            Self::Uuid => "uuid",
            Self::Bytes => "bytea",
            Self::Nothing | Self::Text => "text",
            Self::Json => "json",
        }
    }

    /// Whether it is a number.
    pub fn is_number(self) -> bool {
        matches!(self, Self::Int | Self::BigInt | Self::Numeric | Self::Double)
    }

    /// Of a number as JSON and CSV write it.
    pub fn of_number(text: &str) -> Self {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if text.parse::<i32>().is_ok() {
            Self::Int
        } else if text.parse::<i64>().is_ok() {
            Self::BigInt
        } else if digits.contains(['e', 'E']) {
            Self::Double
        } else {
            Self::Numeric
        }
    }

    /// Of a text that is in quotes.
    pub fn of_text(text: &str) -> Self {
        if is_uuid(text) {
            Self::Uuid
        } else if is_date(text) {
            Self::Date
        } else {
            of_moment(text)
        }
    }

    /// Of a field of CSV, where everything is a text; the empty one is NULL.
    pub fn of_field(text: &str) -> Self {
        match text {
            "" => Self::Nothing,
            "true" | "false" => Self::Boolean,
            text if is_plain_number(text) => Self::of_number(text),
            text => Self::of_text(text),
        }
    }
}

/// As a person writes a number. What begins with a zero is a code, whose zero would be lost.
fn is_plain_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits =
        |text: &str| !text.is_empty() && text.len() <= 100 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(is_digits)
}

fn is_uuid(text: &str) -> bool {
    let is_right = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_right)
}

/// `YYYY-MM-DD` of the years 1 to 9999.
fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_right = |(at, byte): (usize, &u8)| if at == 4 || at == 7 { *byte == b'-' } else { byte.is_ascii_digit() };
    bytes.len() == 10
        && bytes.iter().enumerate().all(is_right)
        && text.parse::<jiff::civil::Date>().is_ok_and(|date| date.year() > 0)
}

/// A date and a time, with a zone or without one; else it is a text.
fn of_moment(text: &str) -> Kind {
    let (Some(date), Some(rest)) = (text.get(..10), text.get(10..)) else { return Kind::Text };
    let Some(time) = rest.strip_prefix(['T', ' ']).filter(|_| is_date(date)) else { return Kind::Text };
    let (clock, zone) = match time.find(['Z', '+', '-']) {
        Some(at) => time.split_at(at),
        None => (time, ""),
    };
    // hours and minutes at least: no database takes less
    let is_right = |(at, byte): (usize, u8)| match at {
        2 | 5 => byte == b':',
        8 => byte == b'.',
        _ => byte.is_ascii_digit(),
    };
    let is_clock = matches!(clock.len(), 5 | 8 | 10..=18) && clock.bytes().enumerate().all(is_right);
    if !is_clock || clock.parse::<jiff::civil::Time>().is_err() {
        return Kind::Text;
    }
    match zone.as_bytes() {
        [] => Kind::Timestamp,
        b"Z" => Kind::Timestamptz,
        [_, h, hh, b':', m, mm] if [h, hh, m, mm].iter().all(|byte| byte.is_ascii_digit()) && zone[1..3] <= *"14" => {
            Kind::Timestamptz
        }
        _ => Kind::Text,
    }
}

/// What is known of a column after some messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub kind: Kind,
    /// Values that are not NULL.
    pub values: usize,
    /// The largest whole number, its sign aside: what is a time is known by it.
    pub largest: u64,
    /// No two values were alike.
    pub is_distinct: bool,
    known: std::collections::HashSet<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        Self { kind: Kind::Nothing, values: 0, largest: 0, is_distinct: true, known: Default::default() }
    }
}

impl Seen {
    /// Of no value, but known otherwise.
    pub fn of(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// One more value, as it is written.
    pub fn add(&mut self, kind: Kind, text: &str) {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        if kind == Kind::Nothing {
            return;
        }
        self.kind = self.kind.or(kind);
        self.values += 1;
        self.largest = self.largest.max(text.parse::<i64>().map_or(0, i64::unsigned_abs));
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.is_distinct &= self.known.insert(hasher.finish());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 13] = [
        Kind::Nothing,
        Kind::Boolean,
        Kind::Int,
        Kind::BigInt,
        Kind::Numeric,
        Kind::Double,
        Kind::Date,
        Kind::Timestamp,
        Kind::Timestamptz,
        Kind::Uuid,
        Kind::Bytes,
        Kind::Text,
        Kind::Json,
    ];

    #[test]
    fn the_order_of_values_does_not_matter() {
        for one in KINDS {
            assert_eq!((one.or(one), one.or(Kind::Nothing)), (one, one));
            for two in KINDS {
                assert_eq!(one.or(two), two.or(one));
                for three in KINDS {
                    assert_eq!(one.or(two).or(three), one.or(two.or(three)), "{one:?} {two:?} {three:?}");
                }
            }
        }
    }

    #[test]
    fn values_are_what_they_look_like() {
        for (text, kind) in [
            ("", Kind::Nothing),
            ("true", Kind::Boolean),
            ("-7", Kind::Int),
            ("2147483648", Kind::BigInt),
            ("9223372036854775808", Kind::Numeric),
            ("0.10", Kind::Numeric),
            ("007", Kind::Text),
            ("1.", Kind::Text),
            ("+1", Kind::Text),
            ("1e5", Kind::Text),
            ("2024-02-29", Kind::Date),
            ("2023-02-29", Kind::Text),
            ("0000-01-01", Kind::Text),
            ("2024-02-29 01:02", Kind::Timestamp),
            ("2024-02-29T01:02:03.000004", Kind::Timestamp),
            ("2024-02-29T01", Kind::Text),
            ("2024-02-29T25:00", Kind::Text),
            ("2024-02-29T01:02:03Z", Kind::Timestamptz),
            ("2024-02-29T01:02:03.5+02:00", Kind::Timestamptz),
            ("2024-02-29T01:02:03+99:00", Kind::Text),
            ("2024-02-29T01:02:03Z[UTC]", Kind::Text),
            ("12345678-9ABC-def0-1234-56789abcdef0", Kind::Uuid),
            ("12345678-9abc-def0-1234-56789abcdefg", Kind::Text),
            ("ä", Kind::Text),
        ] {
            assert_eq!(Kind::of_field(text), kind, "{text}");
        }
        assert_eq!((Kind::of_number("1e5"), Kind::of_number("-1.5")), (Kind::Double, Kind::Numeric));
    }

    /// Whether the database would take this text as this kind.
    fn takes(kind: Kind, text: &str) -> bool {
        match kind {
            Kind::Text => true,
            Kind::Int => text.parse::<i32>().is_ok(),
            Kind::BigInt => text.parse::<i64>().is_ok(),
            Kind::Numeric => text.parse::<f64>().is_ok(),
            Kind::Boolean => matches!(text, "true" | "false"),
            Kind::Date => text.parse::<jiff::civil::Date>().is_ok(),
            Kind::Timestamp => text.parse::<jiff::civil::DateTime>().is_ok(),
            Kind::Timestamptz => text.parse::<jiff::Timestamp>().is_ok(),
            Kind::Uuid => text.len() == 36,
            Kind::Nothing | Kind::Double | Kind::Bytes | Kind::Json => false,
        }
    }

    proptest! {
        /// Whatever a sample was, the type takes each of its values.
        #[test]
        fn the_type_takes_every_value(texts in prop::collection::vec(
            r"-?[0-9]{1,20}(\.[0-9]{1,3})?|true|false|[0-9]{4}-[01][0-9]-[0-3][0-9]([T ][0-2][0-9]:[0-5][0-9](:[0-6][0-9](\.[0-9]{1,9})?)?(Z|[+-][01][0-9]:[0-5][0-9])?)?|[0-9a-f]{8}-1234-1234-1234-[0-9a-f]{12}|.{0,12}", 0..6)) {
            let mut seen = Seen::default();
            texts.iter().for_each(|text| seen.add(Kind::of_field(text), text));
            let values: Vec<_> = texts.iter().filter(|text| !text.is_empty()).collect();
            prop_assert_eq!(seen.values, values.len());
            for text in values {
                prop_assert!(takes(seen.kind, text), "{:?} {text:?}", seen.kind);
            }
        }
    }
}
