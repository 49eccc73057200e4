//! Which logical type a type of a schema is, if it fits.

use serde_json::{Map, Value};

use super::plan::{Node, Unit};

/// What `numeric` holds behind the point. More would be zeros that nobody wrote.
const SCALE_MAX: u64 = 16_383;

/// `None`: none, an unknown one, or one that does not fit; then the type is what it is.
pub(super) fn of(node: Node, object: &Map<String, Value>) -> Option<Node> {
    let logical = object.get("logicalType")?.as_str()?;
    let timestamp = |unit| Some(Node::Timestamp { unit, is_local: false });
    let local = |unit| Some(Node::Timestamp { unit, is_local: true });
    match (node, logical) {
        (Node::Int, "date") => Some(Node::Date),
        (Node::Int, "time-millis") => Some(Node::TimeMillis),
        (Node::Long, "time-micros") => Some(Node::Time { unit: Unit::Micros }),
        (Node::Long, "time-nanos") => Some(Node::Time { unit: Unit::Nanos }),
        (Node::Long, "timestamp-millis") => timestamp(Unit::Millis),
        (Node::Long, "timestamp-micros") => timestamp(Unit::Micros),
        (Node::Long, "timestamp-nanos") => timestamp(Unit::Nanos),
        (Node::Long, "local-timestamp-millis") => local(Unit::Millis),
        (Node::Long, "local-timestamp-micros") => local(Unit::Micros),
        (Node::Long, "local-timestamp-nanos") => local(Unit::Nanos),
        (Node::Bytes, "decimal") => decimal(None, object),
        (Node::Fixed { size }, "decimal") => decimal(Some(size), object),
        (Node::Fixed { size: 16 }, "uuid") => Some(Node::Uuid),
        (Node::Fixed { size: 12 }, "duration") => Some(Node::Duration),
        _ => None,
    }
}

fn decimal(size: Option<u32>, object: &Map<String, Value>) -> Option<Node> {
    let precision = object.get("precision")?.as_u64().filter(|&precision| precision > 0)?;
    let scale = match object.get("scale") {
        None => 0,
        Some(scale) => scale.as_u64()?,
    };
    if scale > precision.min(SCALE_MAX) || size.is_some_and(|size| precision > digits_max(size)) {
        return None;
    }
    Some(Node::Decimal { size, scale: u32::try_from(scale).ok()? })
}

/// How many digits always fit into so many bytes: ⌊log₁₀(2^(8n-1) - 1)⌋.
fn digits_max(size: u32) -> u64 {
    /// log₁₀ 2, times 10^17; with a byte count of 32 bits its error stays below one digit in a thousand million.
    const LOG: u128 = 30_102_999_566_398_119;
    let bits = u128::from(size) * 8;
    u64::try_from(bits.saturating_sub(1) * LOG / 10_u128.pow(17)).unwrap_or(u64::MAX)
}
