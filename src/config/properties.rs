//! PROPERTIES: what librdkafka is told, and what it says of that without any broker. Called by `file.rs`.

use std::collections::BTreeMap;

use crate::config::fields::{Field, Fields};
use crate::config::job::Consistency;
use crate::config::scalars::text;
use crate::config::yaml::Content;
use crate::kafka;

/// librdkafka's properties, as written: a key without a value is the empty text.
pub(super) fn properties(fields: Fields<'_>, consistency: Consistency) -> BTreeMap<String, String> {
    let (mut properties, mut is_right) = (BTreeMap::new(), true);
    for field in fields.entries() {
        let name = &field.key.name;
        let value = if field.node.content == Content::Null { Ok(String::new()) } else { text(field.node) };
        match value {
            Ok(value) => {
                // with it Kafka is told now and then, without being waited for
                let is_ours =
                    consistency == Consistency::None && name == "enable.auto.commit" && fields.has("group.id");
                is_right &= is_ours && is_truth(&value) || complain_of_property(&fields, field, &value);
                properties.insert(name.clone(), value);
            }
            Err(_) => {
                let text = format!("`{name}` must be a text, a number or true or false");
                fields.complaints.mistake(field.span(), text, None);
            }
        }
    }
    if is_right && let Err(kafka::Error::Client { cause }) = kafka::check_properties(&properties) {
        fields.complaints.mistake(&fields.span, format!("PROPERTIES do not go together: {cause}"), None);
    }
    properties
}

fn is_truth(value: &str) -> bool {
    matches!(value, "true" | "false")
}

/// What librdkafka says of a property, which needs no broker. `false`: it is a mistake.
fn complain_of_property(fields: &Fields<'_>, field: Field<'_>, value: &str) -> bool {
    let name = &field.key.name;
    let checked = kafka::check_property(name, value);
    let is_right = checked.is_ok();
    match checked {
        Ok(None) => {}
        Ok(Some(why)) => fields.complaints.warning(&field.key.span, format!("`{name}` has no effect: {why}"), None),
        Err(kafka::Error::Property { cause, .. }) if kafka::is_secret(name) => {
            fields.complaints.mistake_in_secret(&field.key.span, format!("`{name}`: {cause}"), None);
        }
        Err(kafka::Error::Property { cause, .. }) => {
            fields.complaints.mistake(&field.key.span, format!("`{name}`: {cause}"), None);
        }
        Err(error) => fields.complaints.mistake(&field.key.span, error.to_string(), None),
    }
    is_right
}
