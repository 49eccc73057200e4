//! One value → JSON, the canonical one but for what the module above names. NUL, which no text of the database can hold,
//! goes out as it is, so that the look at the whole field finds it.

use prost_reflect::{DynamicMessage, Kind, MapKey, ReflectMessage, Value};

use super::field::{Out, Wrong, show, write_base64, write_enum, write_float, write_fraction, write_timestamp};
use super::known::{Known, Time, sorted};

/// Messages around an Any that is still taken apart. What is in it is decoded anew, and may be as deep again as the
/// decoder lets any message be: the sum is what the stack must bear.
const ANY_DEPTH_MAX: u32 = 20;

/// # Errors
/// A value in it has no text.
pub(super) fn write_message(message: &DynamicMessage, out: &mut impl Out) -> Result<(), Wrong> {
    Writer { out, depth: 0 }.message(message)
}

/// # Errors
/// It, or a value in it, has no text.
pub(super) fn write_value(value: &Value, kind: &Kind, out: &mut impl Out) -> Result<(), Wrong> {
    Writer { out, depth: 0 }.value(value, kind)
}

struct Writer<'a, O> {
    out: &'a mut O,
    /// Messages around what is being written.
    depth: u32,
}

impl<O: Out> Writer<'_, O> {
    fn value(&mut self, value: &Value, kind: &Kind) -> Result<(), Wrong> {
        match value {
            Value::Bool(value) => show(self.out, format_args!("{value}")),
            Value::I32(value) => show(self.out, format_args!("{value}")),
            Value::I64(value) => show(self.out, format_args!("{value}")),
            Value::U32(value) => show(self.out, format_args!("{value}")),
            Value::U64(value) => show(self.out, format_args!("{value}")),
            Value::F32(value) if value.is_finite() => write_float(*value, self.out),
            Value::F64(value) if value.is_finite() => write_float(*value, self.out),
            Value::F32(value) => self.quoted(|out| write_float(*value, out)),
            Value::F64(value) => self.quoted(|out| write_float(*value, out)),
            Value::String(text) => self.string(text),
            Value::Bytes(bytes) => self.quoted(|out| write_base64(bytes, out)),
            Value::EnumNumber(number) => self.enumerator(*number, kind),
            Value::Message(message) => return self.message(message),
            Value::List(values) => return self.list(values, kind),
            Value::Map(entries) => {
                // a map's kind is that of its entries
                let kind = kind.as_message().map_or_else(|| kind.clone(), |entry| entry.map_entry_value_field().kind());
                self.out.put(b"{");
                for (at, (key, value)) in sorted(entries).into_iter().enumerate() {
                    self.key(at == 0, key);
                    self.value(value, &kind)?;
                }
                self.out.put(b"}");
            }
        }
        Ok(())
    }

    fn list(&mut self, values: &[Value], kind: &Kind) -> Result<(), Wrong> {
        self.out.put(b"[");
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.out.put(b",");
            }
            self.value(value, kind)?;
        }
        self.out.put(b"]");
        Ok(())
    }

    fn message(&mut self, message: &DynamicMessage) -> Result<(), Wrong> {
        self.depth += 1;
        self.known_or_fields(message)?;
        self.depth -= 1;
        Ok(())
    }

    fn known_or_fields(&mut self, message: &DynamicMessage) -> Result<(), Wrong> {
        match Known::of(message) {
            None => {
                self.out.put(b"{");
                self.fields(message, true)?;
                self.out.put(b"}");
            }
            Some(Known::Timestamp(time)) => {
                self.out.put(b"\"");
                write_timestamp(time, self.out)?;
                self.out.put(b"\"");
            }
            Some(Known::Duration(time)) => self.duration(time)?,
            Some(Known::Wrapped(value, kind) | Known::Struct(value, kind) | Known::List(value, kind)) => {
                self.value(&value, &kind)?;
            }
            Some(Known::Value(None)) => self.out.put(b"null"),
            Some(Known::Value(Some((value, kind)))) => self.value(value, &kind)?,
            Some(Known::FieldMask(paths)) => self.string(&paths.join(",")),
            Some(Known::Any { url, bytes }) => {
                let (url, bytes) = (url.as_str().unwrap_or_default(), bytes.as_bytes());
                self.any(message, url, bytes.map_or(&[][..], |bytes| bytes))?;
            }
        }
        Ok(())
    }

    /// Fields that are set, without the braces.
    fn fields(&mut self, message: &DynamicMessage, mut is_first: bool) -> Result<(), Wrong> {
        for (field, value) in message.fields() {
            self.name(is_first, field.name());
            self.value(value, &field.kind())?;
            is_first = false;
        }
        for (extension, value) in message.extensions() {
            self.name(is_first, extension.json_name());
            self.value(value, &extension.kind())?;
            is_first = false;
        }
        Ok(())
    }

    fn any(&mut self, any: &DynamicMessage, url: &str, bytes: &[u8]) -> Result<(), Wrong> {
        self.out.put(b"{");
        self.name(true, "@type");
        self.string(url);
        let name = url.rsplit('/').next().unwrap_or_default();
        let is_deep = self.depth > ANY_DEPTH_MAX;
        let known = any.descriptor().parent_pool().get_message_by_name(name).filter(|_| !is_deep);
        let inner = known.and_then(|descriptor| DynamicMessage::decode(descriptor, bytes).ok());
        self.depth += 1;
        match inner {
            Some(message) if Known::of(&message).is_some() => {
                self.name(false, "value");
                self.message(&message)?;
            }
            Some(message) => self.fields(&message, false)?,
            None => {
                self.name(false, "value");
                self.quoted(|out| write_base64(bytes, out));
            }
        }
        self.depth -= 1;
        self.out.put(b"}");
        Ok(())
    }

    fn duration(&mut self, time: Time) -> Result<(), Wrong> {
        if !time.is_duration() {
            return Err(Wrong::OutOfRange("Duration"));
        }
        show(self.out, format_args!("\"{}{}", time.sign(), time.seconds.unsigned_abs()));
        write_fraction(time, self.out);
        self.out.put(b"s\"");
        Ok(())
    }

    fn enumerator(&mut self, number: i32, kind: &Kind) {
        match kind.as_enum() {
            Some(names) if names.full_name() == "google.protobuf.NullValue" => self.out.put(b"null"),
            Some(names) if names.get_value(number).is_some() => self.quoted(|out| write_enum(number, kind, out)),
            _ => show(self.out, format_args!("{number}")),
        }
    }

    fn key(&mut self, is_first: bool, key: &MapKey) {
        match key {
            MapKey::String(key) => self.name(is_first, key),
            MapKey::Bool(key) => self.name(is_first, &key.to_string()),
            MapKey::I32(key) => self.name(is_first, &key.to_string()),
            MapKey::I64(key) => self.name(is_first, &key.to_string()),
            MapKey::U32(key) => self.name(is_first, &key.to_string()),
            MapKey::U64(key) => self.name(is_first, &key.to_string()),
        }
    }

    fn name(&mut self, is_first: bool, name: &str) {
        if !is_first {
            self.out.put(b",");
        }
        self.string(name);
        self.out.put(b":");
    }

    fn quoted(&mut self, write: impl FnOnce(&mut O)) {
        self.out.put(b"\"");
        write(self.out);
        self.out.put(b"\"");
    }

    fn string(&mut self, text: &str) {
        self.quoted(|out| {
            let mut bytes = text.as_bytes();
            while let Some(at) = bytes.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 1..=31)) {
                out.put(&bytes[..at]);
                match bytes[at] {
                    b'"' => out.put(b"\\\""),
                    b'\\' => out.put(b"\\\\"),
                    b'\n' => out.put(b"\\n"),
                    b'\r' => out.put(b"\\r"),
                    b'\t' => out.put(b"\\t"),
                    control => show(out, format_args!("\\u{control:04x}")),
                }
                bytes = &bytes[at + 1..];
            }
            out.put(bytes);
        });
    }
}
