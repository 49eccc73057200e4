//! What the drafted file would refuse of the very messages that it was drafted from. Nothing is known of messages that
//! need a registry. Pure.

use std::path::Path;

use super::super::sample::Place;
use super::super::trial::{Refused, Trial};
use crate::config::{self, Format};
use crate::record::Record;

/// Decodes every value as a load by this file would. `None`: all are rows, or it takes a registry to tell.
pub fn refused(text: &str, values: &[Vec<u8>], places: &[Place]) -> Option<Refused> {
    let job = config::parse(Path::new("job.yaml"), text.as_bytes().to_vec(), &config::Variables::new()).ok()?;
    if matches!(job.value.as_ref()?.format, Format::Avro { .. } | Format::Protobuf { .. }) {
        return None;
    }
    let records = values.iter().enumerate().map(|(at, value)| {
        let Place { partition, offset } = places.get(at).copied().unwrap_or_default();
        Record::new(partition, offset, Some(value))
    });
    Trial::of(&job.decode_settings(&[]).ok()?, records, |_, _| Err(())).ok()?.refused
}

#[cfg(test)]
mod tests {
    use super::super::drafted;
    use super::*;

    fn values(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    /// The draft of messages at offsets that count from 0, and what it refuses of them.
    fn tried(values: &[Vec<u8>]) -> (String, Option<Refused>) {
        let text = drafted(values).unwrap();
        let places: Vec<_> = (0..).take(values.len()).map(|offset| Place { partition: 2, offset }).collect();
        let refused = refused(&text, values, &places);
        (text, refused)
    }

    #[test]
    fn a_stranger_is_refused_and_told_of() {
        let mut messages = vec!["{\"a\": 1}"; 300];
        messages.insert(17, "oops");
        let (text, refused) = tried(&values(&messages));
        assert!(text.contains("FORMAT: json\n") && text.contains("1 of 301 is none"), "{text}");
        let refused = refused.unwrap();
        assert_eq!((refused.count, refused.place), (1, Place { partition: 2, offset: 17 }));
        assert!(refused.reason.starts_with("json  "), "{}", refused.reason);
        assert_eq!(tried(&values(&["{\"a\": 1}", "{}"])).1, None);
    }

    #[test]
    fn rows_that_end_early_are_none_to_refuse() {
        let mut messages = vec!["1,1\n"; 95];
        messages.extend(["2,1,9\n"; 3]);
        let messages = values(&messages);
        let shape = super::super::Shape::Csv { delimiter: ',' };
        let text = super::super::drafted_as(shape, &messages).unwrap();
        let options = "      CSV_OPTION:\n        FILL_MISSING_FIELDS: true         # 95 of 98 rows have fewer fields than the widest: NULL\n";
        assert!(text.contains(options), "{text}");
        assert_eq!(refused(&text, &messages, &[]), None);
        let strict = text.replace("FIELDS: true", "FIELDS: false");
        assert_eq!(refused(&strict, &messages, &[]).map(|refused| refused.count), Some(95));
    }
}
