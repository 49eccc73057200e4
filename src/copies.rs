//! Whole records beside the rows that were made of them, some of them and as many as memory allows: one that is refused
//! later is found here, and need not be read from Kafka again.

use bytes::{Buf, BufMut};

use crate::budget::{Budget, Permit};
use crate::record::{Header, OwnedRecord, Record, TimestampType};

/// Memory that is asked for at once.
const PAGE_BYTES: usize = 64 * 1024;

/// Records of one partition in the order of their offsets, perhaps not all.
#[derive(Debug, Default)]
pub struct Copies {
    pages: Vec<Page>,
}

/// Records one behind the other, see [`Page::push`].
#[derive(Debug)]
struct Page {
    bytes: Vec<u8>,
    permit: Permit,
}

impl Copies {
    /// Copies a record, if the budget has room for it.
    pub fn push(&mut self, record: &Record<'_>, budget: &Budget) {
        let headers = record.headers.read();
        let length = length(record, &headers);
        let fits = self.pages.last().is_some_and(|page| page.bytes.capacity() - page.bytes.len() >= length);
        if !fits {
            self.seal();
            let Some(permit) = budget.try_acquire(length.max(PAGE_BYTES)) else { return };
            self.pages.push(Page { bytes: Vec::with_capacity(permit.bytes()), permit });
        }
        if let Some(page) = self.pages.last_mut() {
            page.push(record, &headers, length);
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Gives back what the last page does not need.
    pub fn seal(&mut self) {
        if let Some(page) = self.pages.last_mut() {
            page.bytes.shrink_to_fit();
            page.permit.resize(page.bytes.capacity());
        }
    }

    /// Calls `each` with the records that are wanted.
    ///
    /// # Errors
    /// `each` says so.
    pub fn find<E>(
        &self,
        mut wants: impl FnMut(i64) -> bool,
        mut each: impl FnMut(i64, OwnedRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        for page in &self.pages {
            let mut rest = &page.bytes[..];
            while rest.has_remaining() {
                let (length, offset) = (rest.get_u64_ne(), rest.get_i64_ne());
                let (mut record, behind) = rest.split_at(usize::try_from(length).expect("it has been in memory"));
                rest = behind;
                if wants(offset) {
                    each(offset, take(&mut record))?;
                }
            }
        }
        Ok(())
    }
}

/// Length and offset stand before each record.
const HEAD: usize = 16;

/// Bytes that a record takes in a page.
fn length(record: &Record<'_>, headers: &[Header<'_>]) -> usize {
    let part = |bytes: Option<&[u8]>| 8 + bytes.map_or(0, <[u8]>::len);
    let header = |header: &Header<'_>| part(Some(header.name.as_bytes())) + part(header.value);
    HEAD + 17 + part(record.key) + part(record.payload) + headers.iter().map(header).sum::<usize>()
}

impl Page {
    fn push(&mut self, record: &Record<'_>, headers: &[Header<'_>], length: usize) {
        let bytes = &mut self.bytes;
        bytes.put_u64_ne((length - HEAD) as u64);
        bytes.put_i64_ne(record.offset);
        bytes.put_i64_ne(record.timestamp_ms.unwrap_or(NONE));
        bytes.put_u8(match record.timestamp_type {
            None => 0,
            Some(TimestampType::Create) => 1,
            Some(TimestampType::LogAppend) => 2,
        });
        put(bytes, record.key);
        put(bytes, record.payload);
        bytes.put_u64_ne(headers.len() as u64);
        for header in headers {
            put(bytes, Some(header.name.as_bytes()));
            put(bytes, header.value);
        }
    }
}

/// Stands for what is not there: no length, and before all times.
const NONE: i64 = i64::MIN;

fn put(bytes: &mut Vec<u8>, part: Option<&[u8]>) {
    bytes.put_i64_ne(part.map_or(NONE, |part| i64::try_from(part.len()).expect("slices are shorter")));
    bytes.put_slice(part.unwrap_or_default());
}

fn take(bytes: &mut &[u8]) -> OwnedRecord {
    let timestamp_ms = Some(bytes.get_i64_ne()).filter(|ms| *ms != NONE);
    let timestamp_type = match bytes.get_u8() {
        0 => None,
        1 => Some(TimestampType::Create),
        _ => Some(TimestampType::LogAppend),
    };
    let (key, payload) = (take_part(bytes), take_part(bytes));
    let headers = (0..bytes.get_u64_ne()).map(|_| {
        let name = take_part(bytes).unwrap_or_default();
        (String::from_utf8(name).expect("it was a string"), take_part(bytes))
    });
    OwnedRecord { timestamp_ms, timestamp_type, key, payload, headers: headers.collect() }
}

fn take_part(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = usize::try_from(bytes.get_i64_ne()).ok()?;
    let (part, behind) = bytes.split_at(length);
    *bytes = behind;
    Some(part.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<OwnedRecord> {
        let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
        let full = OwnedRecord {
            timestamp_ms: Some(-1),
            timestamp_type: Some(TimestampType::LogAppend),
            key: Some(b"key\0".to_vec()),
            payload: Some(b"a,b".to_vec()),
            headers: vec![header("", None), header("trace", Some(b"")), header("trace", Some(b"\xff"))],
        };
        let tombstone = OwnedRecord { timestamp_type: Some(TimestampType::Create), ..OwnedRecord::default() };
        let empty = OwnedRecord { key: Some(vec![]), payload: Some(vec![]), ..OwnedRecord::default() };
        let long = OwnedRecord { payload: Some(vec![b'x'; 3 * PAGE_BYTES]), ..full.clone() };
        let near = OwnedRecord { payload: Some(vec![b'y'; PAGE_BYTES - 100]), ..OwnedRecord::default() };
        vec![full, tombstone, near, empty, long, OwnedRecord::default()]
    }

    fn copied(budget: &Budget) -> Copies {
        let mut copies = Copies::default();
        for (record, offset) in records().iter().zip((100..).step_by(3)) {
            copies.push(&record.at(2, offset), budget);
        }
        copies.seal();
        copies
    }

    fn found(copies: &Copies, wants: impl FnMut(i64) -> bool) -> Vec<(i64, OwnedRecord)> {
        let mut found = Vec::new();
        let each = |offset, record| {
            found.push((offset, record));
            Ok::<_, ()>(())
        };
        copies.find(wants, each).unwrap();
        found
    }

    #[test]
    fn records_come_back_as_they_were() {
        let budget = Budget::new(1 << 20);
        let copies = copied(&budget);
        let expected: Vec<_> = (100..).step_by(3).zip(records()).collect();
        assert_eq!(found(&copies, |_| true), expected);
        assert_eq!(found(&copies, |offset| offset == 103 || offset == 112), [expected[1].clone(), expected[4].clone()]);
        assert_eq!(copies.find(|_| true, |offset, _| Err::<(), _>(offset)), Err(100));
    }

    #[test]
    fn memory_is_that_of_the_budget_and_returns() {
        let budget = Budget::new(1 << 20);
        let copies = copied(&budget);
        let held: usize = copies.pages.iter().map(|page| page.bytes.capacity()).sum();
        assert_eq!((budget.used(), copies.pages.len()), (held, 4));
        assert!(held < 4 * PAGE_BYTES + 1000, "{held}");
        drop(copies);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_finds_no_room_is_left_out_and_the_next_may_find_some() {
        let budget = Budget::new(PAGE_BYTES + 1000);
        let copies = copied(&budget);
        let offsets: Vec<_> = found(&copies, |_| true).iter().map(|(offset, _)| *offset).collect();
        // `near` wants a second page, which the first leaves no room for until it is sealed; `long` never fits
        assert_eq!(offsets, [100, 103, 106, 109]);
        assert!(budget.used() <= PAGE_BYTES + 1000);
    }
}
