//! Random schemas of every type, and values that fit them, for tests: all that one number leads to.

use apache_avro::types::Value;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Uuid};
use serde_json::{Value as Json, json};

/// A type, as far as a value of it needs to know.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// By the name that it has in a schema.
    Plain(&'static str),
    /// Base and logical type.
    Logical(&'static str, &'static str),
    Fixed(usize),
    FixedUuid,
    Duration,
    /// Bytes where it has no size.
    Decimal(Option<usize>, usize),
    Enum(Vec<String>),
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    Record(Vec<(String, Shape)>),
}

pub(super) const PLAIN: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

const LOGICAL: [(&str, &str); 10] = [
    ("int", "date"),
    ("int", "time-millis"),
    ("long", "time-micros"),
    ("long", "timestamp-millis"),
    ("long", "timestamp-micros"),
    ("long", "timestamp-nanos"),
    ("long", "local-timestamp-millis"),
    ("long", "local-timestamp-micros"),
    ("long", "local-timestamp-nanos"),
    ("string", "uuid"),
];

/// Numbers without end from one.
pub(super) struct Dice {
    state: u64,
    names: u32,
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self { state: seed | 1, names: 0 }
    }

    fn roll(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() >> 16).unwrap() % bound
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.roll() >> 2).unwrap() % (most - least + 1)
    }

    fn bytes(&mut self, least: u8, length: usize) -> Vec<u8> {
        (0..length).map(|_| u8::try_from(self.between(least.into(), 255)).unwrap()).collect()
    }

    fn text(&mut self) -> String {
        (0..self.below(6)).map(|_| ['a', '"', '\\', '\n', '\u{1}', 'ä', '€', '{', ',', ' '][self.below(10)]).collect()
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    pub fn shape(&mut self, depth: usize) -> Shape {
        match self.below(if depth == 0 { 9 } else { 14 }) {
            0..4 => Shape::Plain(PLAIN[self.below(PLAIN.len())]),
            4 => {
                let (base, logical) = LOGICAL[self.below(LOGICAL.len())];
                Shape::Logical(base, logical)
            }
            5 => Shape::Fixed(1 + self.below(20)),
            6 => [Shape::FixedUuid, Shape::Duration][self.below(2)].clone(),
            7 => Shape::Decimal([None, Some(4 + self.below(12))][self.below(2)], self.below(8)),
            8 => Shape::Enum((0..=self.below(3)).map(|_| self.name()).collect()),
            9 | 10 => self.record(depth),
            11 => Shape::Array(Box::new(self.shape(depth - 1))),
            12 => Shape::Map(Box::new(self.shape(depth - 1))),
            _ => self.union(depth - 1),
        }
    }

    pub fn record(&mut self, depth: usize) -> Shape {
        Shape::Record((0..self.below(6)).map(|_| (self.name(), self.shape(depth - 1))).collect())
    }

    /// Each kind of type is in it once at most.
    fn union(&mut self, depth: usize) -> Shape {
        let mut branches: Vec<Shape> = Vec::new();
        for _ in 0..=self.below(4) {
            let branch = self.shape(depth);
            let is_new = branches.iter().all(|known| known.kind() != branch.kind());
            if is_new && !matches!(branch, Shape::Union(_)) {
                branches.push(branch);
            }
        }
        if branches.is_empty() { Shape::Plain("null") } else { Shape::Union(branches) }
    }

    pub fn value(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Plain(name) => self.plain(name),
            Shape::Logical(_, name) => self.logical(name),
            Shape::Fixed(size) => Value::Fixed(*size, self.bytes(1, *size)),
            Shape::FixedUuid => Value::Uuid(Uuid::from_slice(&self.bytes(0, 16)).unwrap()),
            Shape::Duration => {
                let mut number = || u32::try_from(self.between(0, i32::MAX.into())).unwrap();
                Value::Duration(Duration::new(Months::new(number()), Days::new(number()), Millis::new(number())))
            }
            Shape::Decimal(size, _) => {
                let length = 1 + self.below(size.unwrap_or(16));
                Value::Decimal(Decimal::from(self.bytes(0, length)))
            }
            Shape::Enum(symbols) => {
                let at = self.below(symbols.len());
                Value::Enum(at.try_into().unwrap(), symbols[at].clone())
            }
            Shape::Array(items) => Value::Array((0..self.below(4)).map(|_| self.value(items)).collect()),
            Shape::Map(values) => {
                Value::Map((0..self.below(4)).map(|n| (format!("{n}{}", self.text()), self.value(values))).collect())
            }
            Shape::Union(branches) => {
                let at = self.below(branches.len());
                Value::Union(at.try_into().unwrap(), Box::new(self.value(&branches[at])))
            }
            Shape::Record(fields) => {
                Value::Record(fields.iter().map(|(name, shape)| (name.clone(), self.value(shape))).collect())
            }
        }
    }

    fn plain(&mut self, name: &str) -> Value {
        match name {
            "null" => Value::Null,
            "boolean" => Value::Boolean(self.below(2) == 0),
            "int" => Value::Int(i32::try_from(self.between(i32::MIN.into(), i32::MAX.into())).unwrap()),
            "long" => Value::Long(self.roll().cast_signed() >> self.below(64)),
            "float" => Value::Float([f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.1, -0.0, 16.5][self.below(6)]),
            "double" => match self.below(4) {
                0 => Value::Double([f64::NAN, f64::INFINITY, f64::NEG_INFINITY][self.below(3)]),
                _ => Value::Double(f64::from(i32::try_from(self.between(-8_000_000, 8_000_000)).unwrap()) / 8.0),
            },
            "bytes" => {
                let length = self.below(300);
                Value::Bytes(self.bytes(1, length))
            }
            _ => Value::String(self.text()),
        }
    }

    fn logical(&mut self, name: &str) -> Value {
        // the years 1 to 9999, less a few days at the end that the renderer below does not know
        let (least, most) = (-62_135_596_800, 253_402_000_000);
        match name {
            "date" => Value::Date(i32::try_from(self.between(-719_162, 2_932_896)).unwrap()),
            "time-millis" => Value::TimeMillis(i32::try_from(self.between(0, 86_399_999)).unwrap()),
            "time-micros" => Value::TimeMicros(self.between(0, 86_399_999_999)),
            "timestamp-millis" => Value::TimestampMillis(self.between(least * 1000, most * 1000)),
            "timestamp-micros" => Value::TimestampMicros(self.between(least * 1_000_000, most * 1_000_000)),
            "timestamp-nanos" => Value::TimestampNanos(self.roll().cast_signed()),
            "local-timestamp-millis" => Value::LocalTimestampMillis(self.between(0, most) * 1000),
            "local-timestamp-micros" => Value::LocalTimestampMicros(self.between(0, most * 1_000_000)),
            "local-timestamp-nanos" => Value::LocalTimestampNanos(self.roll().cast_signed()),
            _ => Value::Uuid(Uuid::from_slice(&self.bytes(0, 16)).unwrap()),
        }
    }
}

impl Shape {
    /// What a union may have once.
    pub fn kind(&self) -> &str {
        match self {
            Self::Plain(name) | Self::Logical(name, _) => name,
            Self::Fixed(_) | Self::FixedUuid | Self::Duration | Self::Decimal(Some(_), _) => "fixed",
            Self::Decimal(None, _) => "bytes",
            Self::Enum(_) => "enum",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(_) => "record",
        }
    }

    pub fn schema(&self, dice: &mut Dice) -> Json {
        let mut fixed = |size: usize| json!({"type": "fixed", "name": dice.name(), "size": size});
        let with = |mut json: Json, more: &[(&str, Json)]| {
            more.iter().for_each(|(key, value)| json[key] = value.clone());
            json
        };
        match self {
            Self::Plain(name) => json!(name),
            Self::Logical(base, logical) => json!({"type": base, "logicalType": logical}),
            Self::Fixed(size) => fixed(*size),
            Self::FixedUuid => with(fixed(16), &[("logicalType", json!("uuid"))]),
            Self::Duration => with(fixed(12), &[("logicalType", json!("duration"))]),
            Self::Decimal(size, scale) => {
                let base = size.map_or(json!({"type": "bytes"}), fixed);
                let more = [("logicalType", json!("decimal")), ("precision", json!(9)), ("scale", json!(scale))];
                with(base, &more)
            }
            Self::Enum(symbols) => json!({"type": "enum", "name": dice.name(), "symbols": symbols}),
            Self::Array(items) => json!({"type": "array", "items": items.schema(dice)}),
            Self::Map(values) => json!({"type": "map", "values": values.schema(dice)}),
            Self::Union(branches) => branches.iter().map(|branch| branch.schema(dice)).collect(),
            Self::Record(fields) => {
                let field = |(name, shape): &(String, Self)| json!({"name": name, "type": shape.schema(dice)});
                let fields: Vec<_> = fields.iter().map(field).collect();
                json!({"type": "record", "name": dice.name(), "fields": fields})
            }
        }
    }
}
