//! A compiled schema: types as a flat list, each naming others by their place in it. Made by `schema.rs`, walked by
//! `read.rs`; it says how long types are that have one length, so that they are skipped without a look.

/// The place of a type in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId(pub u32);

/// A stretch of one of a plan's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub first: u32,
    pub count: u32,
}

impl Span {
    fn of<T>(self, list: &[T]) -> &[T] {
        &list[self.first as usize..][..self.count as usize]
    }
}

/// One type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed {
        size: u32,
    },
    Enum {
        symbols: Span,
    },
    Array {
        items: NodeId,
    },
    Map {
        values: NodeId,
    },
    Union {
        branches: Span,
    },
    Record {
        fields: Span,
    },
    Date,
    TimeMillis,
    Time {
        unit: Unit,
    },
    /// With `is_local` it says no zone.
    Timestamp {
        unit: Unit,
        is_local: bool,
    },
    /// `size` where it is a fixed.
    Decimal {
        size: Option<u32>,
        scale: u32,
    },
    /// Sixteen bytes; as a string it is like any other.
    Uuid,
    Duration,
}

impl Node {
    /// As Avro calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int | Self::Date | Self::TimeMillis => "int",
            Self::Long | Self::Time { .. } | Self::Timestamp { .. } => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes | Self::Decimal { size: None, .. } => "bytes",
            Self::String => "string",
            Self::Fixed { .. } | Self::Decimal { .. } | Self::Uuid | Self::Duration => "fixed",
            Self::Enum { .. } => "enum",
            Self::Array { .. } => "array",
            Self::Map { .. } => "map",
            Self::Union { .. } => "union",
            Self::Record { .. } => "record",
        }
    }
}

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    /// How many of it a second has.
    pub fn in_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    /// Digits behind the point.
    pub fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

/// A field of a record.
#[derive(Debug)]
pub(super) struct Field {
    pub name: Box<str>,
    pub aliases: Box<[Box<str>]>,
    /// What stands before its value in JSON: `"name":`, and a comma before it unless it is the record's first.
    pub key: Box<str>,
    pub node: NodeId,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub nodes: Vec<Node>,
    /// For each of `nodes`: how many bytes it always takes. `None`: that depends on the bytes, or it contains itself.
    pub sizes: Vec<Option<usize>>,
    pub fields: Vec<Field>,
    /// Of unions.
    pub branches: Vec<NodeId>,
    /// Of enums.
    pub symbols: Vec<Box<str>>,
    pub root: Option<NodeId>,
}

impl Plan {
    pub fn node(&self, id: NodeId) -> Node {
        self.nodes[id.0 as usize]
    }

    /// How many bytes it always takes, if that is so.
    pub fn size(&self, id: NodeId) -> Option<usize> {
        self.sizes[id.0 as usize]
    }

    pub fn fields(&self, span: Span) -> &[Field] {
        span.of(&self.fields)
    }

    pub fn branches(&self, span: Span) -> &[NodeId] {
        span.of(&self.branches)
    }

    pub fn symbols(&self, span: Span) -> &[Box<str>] {
        span.of(&self.symbols)
    }

    /// What the whole datum is.
    pub fn root(&self) -> NodeId {
        self.root.unwrap_or(NodeId(0))
    }
}
