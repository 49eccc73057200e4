//! Numbers as people read them: bytes, counts, rates.

/// Bytes with a unit of 1024, as the original prints them: `903B`, `1.50KB`, `131.00MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KB", "MB", "GB", "TB"];
    if count < 1024 {
        return format!("{count}B");
    }
    let mut scaled = as_f64(count);
    let mut unit = "B";
    for next in UNITS {
        if scaled < 1024.0 {
            break;
        }
        scaled /= 1024.0;
        unit = next;
    }
    format!("{scaled:.2}{unit}")
}

/// A count with thousands parted by commas: `13,088,208`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something whose plural ends in s: `1 row`, `2,000 rows`.
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// A count for ratios and rates; exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "rates are shown with three digits")]
pub fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_the_unit_that_reads_best() {
        let shown: Vec<_> = [0, 903, 1024, 1536, 137_363_456].map(bytes).into();
        assert_eq!(shown, ["0B", "903B", "1.00KB", "1.50KB", "131.00MB"]);
    }

    #[test]
    fn one_is_no_plural() {
        let shown: Vec<_> = [0, 1, 2, 1000].map(|number| counted(number, "row")).into();
        assert_eq!(shown, ["0 rows", "1 row", "2 rows", "1,000 rows"]);
    }

    #[test]
    fn counts_are_parted_in_threes() {
        let shown: Vec<_> = [0, 999, 1000, 13_088_208].map(count).into();
        assert_eq!(shown, ["0", "999", "1,000", "13,088,208"]);
    }
}
