//! Times, decimals, uuids and durations as text that PostgreSQL and RFC 3339 read alike. Pure.

use super::super::hex;
use super::fault::{Fault, Result};
use super::plan::Unit;
use super::sink::Sink;

/// Memory for decimals that no machine number holds; kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The magnitude, in base 2³², the highest first.
    limbs: Vec<u32>,
    /// Nine digits each, the lowest first.
    groups: Vec<u32>,
    digits: Vec<u8>,
}

/// What RFC 3339 has, in days since 1970: the years 1 to 9999.
const DAYS: std::ops::RangeInclusive<i64> = -719_162..=2_932_896;

const SECONDS_A_DAY: i64 = 86_400;

/// Twenty thousand digits. Nobody means more, and the time that they take grows with their square.
const DECIMAL_BYTES_MAX: usize = 8192;

/// How long the texts of this file get that are made in one piece.
const TEXT_BYTES_MAX: usize = 64;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// A short text on the stack.
struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    length: usize,
}

impl Text {
    fn new() -> Self {
        Self { bytes: [0; TEXT_BYTES_MAX], length: 0 }
    }

    fn byte(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// A number with zeros before it; none here is negative.
    #[inline]
    fn padded(&mut self, number: i64, digits: usize) {
        let mut rest = u32::try_from(number).unwrap_or(0);
        for byte in self.bytes[self.length..][..digits].iter_mut().rev() {
            *byte = DIGITS[rest as usize % 10];
            rest /= 10;
        }
        self.length += digits;
    }

    fn number(&mut self, number: u32) {
        for byte in itoa::Buffer::new().format(number).bytes() {
            self.byte(byte);
        }
    }

    fn date(&mut self, days: i64) {
        let (year, month, day) = civil(days);
        self.padded(year, 4);
        self.byte(b'-');
        self.padded(month, 2);
        self.byte(b'-');
        self.padded(day, 2);
    }

    /// Of a day; the fraction only where there is one.
    fn time(&mut self, seconds: i64, fraction: i64, unit: Unit) {
        self.padded(seconds / 3600, 2);
        self.byte(b':');
        self.padded(seconds / 60 % 60, 2);
        self.byte(b':');
        self.padded(seconds % 60, 2);
        if fraction != 0 {
            self.byte(b'.');
            self.padded(fraction, unit.digits());
        }
    }

    fn put<S: Sink>(&self, out: &mut S) {
        out.put(&self.bytes[..self.length]);
    }
}

/// Year, month and day of a day since 1970, in years that begin in March, so that the odd day is the last. After
/// Howard Hinnant, "chrono-compatible low-level date algorithms".
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// `YYYY-MM-DD`.
pub(super) fn date<S: Sink>(days: i64, out: &mut S) -> Result<()> {
    if !DAYS.contains(&days) {
        return Err(Fault::new(format!("day {days} since 1970 is outside the years 1 to 9999")));
    }
    let mut text = Text::new();
    text.date(days);
    text.put(out);
    Ok(())
}

/// `HH:MM:SS`, and a fraction where there is one.
pub(super) fn time<S: Sink>(count: i64, unit: Unit, out: &mut S) -> Result<()> {
    let (seconds, fraction) = (count.div_euclid(unit.in_second()), count.rem_euclid(unit.in_second()));
    if !(0..SECONDS_A_DAY).contains(&seconds) {
        return Err(Fault::new(format!("{count} {} are no time of a day", named(unit))));
    }
    let mut text = Text::new();
    text.time(seconds, fraction, unit);
    text.put(out);
    Ok(())
}

/// RFC 3339, with `Z` unless it is local.
pub(super) fn timestamp<S: Sink>(count: i64, unit: Unit, is_local: bool, out: &mut S) -> Result<()> {
    let (seconds, fraction) = (count.div_euclid(unit.in_second()), count.rem_euclid(unit.in_second()));
    let days = seconds.div_euclid(SECONDS_A_DAY);
    if !DAYS.contains(&days) {
        let text = format!("{count} {} since 1970 are outside the years 1 to 9999", named(unit));
        return Err(Fault::new(text));
    }
    let mut text = Text::new();
    text.date(days);
    text.byte(b'T');
    text.time(seconds.rem_euclid(SECONDS_A_DAY), fraction, unit);
    if !is_local {
        text.byte(b'Z');
    }
    text.put(out);
    Ok(())
}

fn named(unit: Unit) -> &'static str {
    match unit {
        Unit::Millis => "milliseconds",
        Unit::Micros => "microseconds",
        Unit::Nanos => "nanoseconds",
    }
}

/// Sixteen bytes with hyphens.
pub(super) fn uuid<S: Sink>(bytes: &[u8], out: &mut S) {
    let mut text = Text::new();
    for (at, byte) in bytes.iter().take(16).enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.byte(b'-');
        }
        hex::of(*byte).into_iter().for_each(|digit| text.byte(digit));
    }
    text.put(out);
}

/// ISO 8601: `P1M2DT3.004S`. Three numbers of four bytes, the lowest byte first: months, days, milliseconds.
pub(super) fn duration<S: Sink>(bytes: &[u8], out: &mut S) -> Result<()> {
    let number = |at: usize| bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let (months, days, millis) = (number(0), number(4), number(8));
    if i32::try_from(months.max(days)).is_err() {
        return Err(Fault::new(format!("{months} months and {days} days are more than an interval holds")));
    }
    let mut text = Text::new();
    text.byte(b'P');
    text.number(months);
    text.byte(b'M');
    text.number(days);
    text.byte(b'D');
    text.byte(b'T');
    text.number(millis / 1000);
    if millis % 1000 != 0 {
        text.byte(b'.');
        text.padded(i64::from(millis % 1000), 3);
    }
    text.byte(b'S');
    text.put(out);
    Ok(())
}

/// A number in two's complement, the highest byte first, with the last `scale` of its digits behind the point.
pub(super) fn decimal<S: Sink>(bytes: &[u8], scale: u32, scratch: &mut Scratch, out: &mut S) -> Result<()> {
    if bytes.len() > DECIMAL_BYTES_MAX {
        let text = format!("a decimal of {} bytes; more than {DECIMAL_BYTES_MAX} are not read", bytes.len());
        return Err(Fault::new(text));
    }
    let is_negative = bytes.first().is_some_and(|&byte| byte >= 0x80);
    if is_negative {
        out.put(b"-");
    }
    let fill = if is_negative { 0xff } else { 0 };
    let mut wide = [fill; 16];
    if let Some(place) = wide.len().checked_sub(bytes.len()) {
        wide[place..].copy_from_slice(bytes);
        let magnitude = i128::from_be_bytes(wide).unsigned_abs();
        point(itoa::Buffer::new().format(magnitude).as_bytes(), scale, out);
    } else {
        scratch.magnitude(bytes, is_negative);
        scratch.divide();
        point(&scratch.digits, scale, out);
    }
    Ok(())
}

impl Scratch {
    fn magnitude(&mut self, bytes: &[u8], is_negative: bool) {
        let fill = if is_negative { 0xff } else { 0 };
        let (head, whole) = bytes.split_at(bytes.len() % 4);
        let mut first = [fill; 4];
        first[4 - head.len()..].copy_from_slice(head);
        self.limbs.clear();
        self.limbs.push(u32::from_be_bytes(first));
        let limbs = whole.chunks_exact(4).filter_map(|chunk| chunk.first_chunk());
        self.limbs.extend(limbs.map(|chunk| u32::from_be_bytes(*chunk)));
        if is_negative {
            let mut carries = true;
            for limb in self.limbs.iter_mut().rev() {
                (*limb, carries) = (!*limb).overflowing_add(u32::from(carries));
            }
        }
    }

    /// Divides the magnitude away.
    fn divide(&mut self) {
        const GROUP: u64 = 1_000_000_000;
        self.groups.clear();
        let mut from = 0;
        while from < self.limbs.len() {
            let mut rest = 0;
            for limb in &mut self.limbs[from..] {
                let number = rest << 32 | u64::from(*limb);
                *limb = low(number / GROUP);
                rest = number % GROUP;
            }
            self.groups.push(low(rest));
            while self.limbs.get(from) == Some(&0) {
                from += 1;
            }
        }
        self.digits.clear();
        let mut text = Text::new();
        for &group in self.groups.iter().rev() {
            text.length = 0;
            text.padded(group.into(), 9);
            self.digits.extend_from_slice(&text.bytes[..9]);
        }
        let zeros = self.digits.iter().take_while(|&&digit| digit == b'0').count();
        self.digits.drain(..zeros.min(self.digits.len().saturating_sub(1)));
    }
}

/// The lower half.
fn low(number: u64) -> u32 {
    u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

fn point<S: Sink>(digits: &[u8], scale: u32, out: &mut S) {
    const ZEROS: [u8; 64] = [b'0'; 64];
    let scale = scale as usize;
    if scale == 0 {
        return out.put(digits);
    }
    let whole = digits.len().saturating_sub(scale);
    out.put(if whole == 0 { b"0" } else { &digits[..whole] });
    out.put(b".");
    let mut zeros = scale.saturating_sub(digits.len());
    while zeros > 0 {
        let some = zeros.min(ZEROS.len());
        out.put(&ZEROS[..some]);
        zeros -= some;
    }
    out.put(&digits[whole..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sink::Count;
    use super::*;
    use crate::row::Rows;

    fn text(write: impl FnOnce(&mut Rows) -> Result<()>) -> String {
        let mut rows = Rows::default();
        write(&mut rows).unwrap();
        String::from_utf8(rows.open_field().to_vec()).unwrap()
    }

    /// Decimal digits back to bytes in two's complement, by multiplying.
    fn back(text: &str, length: usize) -> Vec<u8> {
        let mut bytes = vec![0_u8; length];
        for digit in text.trim_start_matches('-').bytes() {
            let mut carry = u32::from(digit - b'0');
            for byte in bytes.iter_mut().rev() {
                carry += u32::from(*byte) * 10;
                *byte = u8::try_from(carry & 0xff).unwrap();
                carry >>= 8;
            }
            assert_eq!(carry, 0, "{text}");
        }
        if text.starts_with('-') {
            let mut carries = true;
            for byte in bytes.iter_mut().rev() {
                (*byte, carries) = (!*byte).overflowing_add(u8::from(carries));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn decimals_are_what_their_bytes_are(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(0xff)], 1..80),
            scale in 0_u32..200,
        ) {
            let mut scratch = Scratch::default();
            let whole = text(|rows| decimal(&bytes, 0, &mut scratch, rows));
            prop_assert_eq!(back(&whole, bytes.len()), &bytes[..]);
            prop_assert!(whole == "0" || !whole.trim_start_matches('-').starts_with('0'), "{}", whole);
            let pointed = text(|rows| decimal(&bytes, scale, &mut scratch, rows));
            let behind = pointed.split_once('.').map_or(0, |(_, behind)| behind.len());
            prop_assert_eq!(behind, scale as usize);
            let digits = pointed.replace(['.', '-'], "");
            let trimmed = digits.trim_start_matches('0');
            prop_assert_eq!(if trimmed.is_empty() { "0" } else { trimmed }, whole.trim_start_matches('-'));
            let mut count = Count::default();
            decimal(&bytes, scale, &mut scratch, &mut count).unwrap();
            prop_assert_eq!(count.bytes, pointed.len());
        }

        #[test]
        fn every_day_is_a_day_of_the_calendar(days in DAYS) {
            let expected = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(days);
            prop_assert_eq!(text(|rows| date(days, rows)), expected.to_string());
        }

        #[test]
        fn no_number_is_too_much(count: i64, local: bool) {
            for unit in [Unit::Millis, Unit::Micros, Unit::Nanos] {
                let mut written = Count::default();
                let is_time = timestamp(count, unit, local, &mut written).is_ok();
                prop_assert_eq!(is_time, written.bytes > 0);
                let mut written = Count::default();
                prop_assert_eq!(time(count, unit, &mut written).is_ok(), written.bytes > 0);
            }
        }
    }
}
