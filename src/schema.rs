//! A schema as a registry or a file holds it: text that a decoder compiles. Fetched by `registry`, understood by
//! `decode`, brought from the one to the other by `job`.

/// What language a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaKind {
    Avro,
    Protobuf,
    Json,
}

/// One schema with all that it refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub kind: SchemaKind,
    /// As it is written: JSON for Avro, a `.proto` file for Protobuf.
    pub text: String,
    /// What it imports, each before those that need it: a name as `text` calls it, and its own text.
    pub references: Vec<Reference>,
}

/// A schema that another one imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Avro: a full name. Protobuf: the path of an import.
    pub name: String,
    pub text: String,
}

impl Schema {
    /// A schema that stands for itself.
    pub fn alone(kind: SchemaKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), references: Vec::new() }
    }
}
