//! Messages of `google.protobuf` that mean more than their fields. A message that only bears such a name, with other
//! fields, is an ordinary one.

use std::borrow::Cow;
use std::collections::HashMap;

use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage, Value};

/// What a message means.
pub(super) enum Known<'a> {
    Timestamp(Time),
    Duration(Time),
    /// One of `StringValue`, `Int32Value` and so on.
    Wrapped(Cow<'a, Value>, Kind),
    /// Values by name.
    Struct(Cow<'a, Value>, Kind),
    /// The one that is set, if one is.
    Value(Option<(&'a Value, Kind)>),
    List(Cow<'a, Value>, Kind),
    FieldMask(Vec<&'a str>),
    Any {
        url: Cow<'a, Value>,
        bytes: Cow<'a, Value>,
    },
}

/// Seconds and their billionth parts, of the same sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub seconds: i64,
    pub nanos: i32,
}

/// The years 1 to 9999, which both sides can write.
const TIMESTAMPS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// 10,000 years, as the definition of Duration says.
const DURATION_SECONDS_MAX: u64 = 315_576_000_000;

const NANOS: u32 = 1_000_000_000;

impl Time {
    pub fn is_timestamp(self) -> bool {
        TIMESTAMPS.contains(&self.seconds) && u32::try_from(self.nanos).is_ok_and(|nanos| nanos < NANOS)
    }

    pub fn is_duration(self) -> bool {
        let signs_agree = self.seconds.signum() * i64::from(self.nanos.signum()) >= 0;
        self.seconds.unsigned_abs() <= DURATION_SECONDS_MAX && self.nanos.unsigned_abs() < NANOS && signs_agree
    }

    /// Of a duration.
    pub fn sign(self) -> &'static str {
        if self.seconds < 0 || self.nanos < 0 { "-" } else { "" }
    }
}

impl<'a> Known<'a> {
    pub fn of(message: &'a DynamicMessage) -> Option<Self> {
        let descriptor = message.descriptor();
        let name = descriptor.full_name().strip_prefix("google.protobuf.")?;
        let field = |number| Some((message.get_field_by_number(number)?, descriptor.get_field(number)?.kind()));
        match name {
            "Timestamp" => Some(Self::Timestamp(time(message)?)),
            "Duration" => Some(Self::Duration(time(message)?)),
            "BoolValue" | "Int32Value" | "Int64Value" | "UInt32Value" | "UInt64Value" | "FloatValue"
            | "DoubleValue" | "StringValue" | "BytesValue" => {
                let (value, kind) = field(1)?;
                let is_bare = !matches!(*value, Value::Message(_) | Value::List(_) | Value::Map(_));
                is_bare.then_some(Self::Wrapped(value, kind))
            }
            "Struct" => {
                field(1).filter(|(value, _)| value.as_map().is_some()).map(|(map, kind)| Self::Struct(map, kind))
            }
            "ListValue" => {
                field(1).filter(|(value, _)| value.as_list().is_some()).map(|(list, kind)| Self::List(list, kind))
            }
            "Value" => Some(Self::Value(message.fields().next().map(|(field, value)| (value, field.kind())))),
            "FieldMask" => {
                let paths = message.fields().next().map_or(Some(&[][..]), |(_, value)| value.as_list())?;
                paths.iter().map(Value::as_str).collect::<Option<Vec<&str>>>().map(Self::FieldMask)
            }
            "Any" => {
                let ((url, _), (bytes, _)) = (field(1)?, field(2)?);
                (url.as_str().is_some() && bytes.as_bytes().is_some()).then_some(Self::Any { url, bytes })
            }
            _ => None,
        }
    }
}

fn time(message: &DynamicMessage) -> Option<Time> {
    let seconds = message.get_field_by_number(1)?.as_i64()?;
    let nanos = message.get_field_by_number(2)?.as_i32()?;
    Some(Time { seconds, nanos })
}

/// A map in the order of its keys: the hash's own changes from run to run.
pub(super) fn sorted(map: &HashMap<MapKey, Value>) -> Vec<(&MapKey, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    entries
}
