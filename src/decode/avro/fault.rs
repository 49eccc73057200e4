//! What is wrong with a datum, and in which field. Boxed, so that what goes well carries no weight of it.

use super::super::Cause;

pub(super) type Result<T> = std::result::Result<T, Box<Fault>>;

/// How much of a path is shown; a schema that names itself makes it long.
const PARTS_SHOWN: usize = 12;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// From the inside out: names of fields, keys of maps, numbers of items.
    path: Vec<String>,
    text: String,
}

impl Fault {
    /// Something is wrong with a value.
    pub fn new(text: impl Into<String>) -> Box<Self> {
        Box::new(Self { path: Vec::new(), text: text.into() })
    }

    /// The bytes end inside a value.
    pub fn truncated() -> Box<Self> {
        Self::new("the datum ends too early")
    }

    /// It is about the whole datum, which this names.
    pub fn at_least_within(self: Box<Self>, name: &str) -> Box<Self> {
        if self.path.is_empty() { self.within(name) } else { self }
    }

    /// It is inside of this.
    pub fn within(mut self: Box<Self>, name: impl ToString) -> Box<Self> {
        self.path.push(name.to_string());
        self
    }
}

impl From<Box<Fault>> for Cause {
    fn from(fault: Box<Fault>) -> Self {
        let text = fault.text;
        if fault.path.is_empty() {
            return Self::Payload { text };
        }
        let mut path: Vec<&str> = fault.path.iter().rev().take(PARTS_SHOWN).map(String::as_str).collect();
        if fault.path.len() > PARTS_SHOWN {
            path.push("…");
        }
        Self::Payload { text: format!("field \"{}\": {text}", path.join(".")) }
    }
}
