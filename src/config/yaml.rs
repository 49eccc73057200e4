//! YAML text into a tree of [`Node`]s that know where they stand. serde_yaml says what a node is, `places.rs` where;
//! duplicate keys are kept, so that they can be reported beside everything else. Called by `mod.rs`.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::config::places::{Place, Shape, places};

/// A value and where it stands, in bytes of the text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub span: Range<usize>,
    pub content: Content,
}

/// What a node is. Scalars keep the text they were written as: `0.10` is a version number to some.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Null,
    Bool {
        is_true: bool,
        written: String,
    },
    Integer {
        number: i128,
        written: String,
    },
    Float {
        written: String,
    },
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
    /// `!tag value`, a key that is no plain word: nothing a job file may hold. The text says what.
    Strange(&'static str),
}

/// A key of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub span: Range<usize>,
    pub name: String,
}

/// Why a text is no YAML, and where.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub at: usize,
    pub text: String,
}

/// The one document of a text; `Content::Null` if it holds none.
pub(super) fn parse(text: &str) -> Result<Node, Unreadable> {
    let empty = || Node { span: 0..0, content: Content::Null };
    match serde_yaml::from_str::<Checked>(text) {
        Ok(Checked) => {}
        Err(error) if error.location().is_none() && error.to_string().starts_with("EOF") => return Ok(empty()),
        Err(error) => return Err(unreadable(text, &error)),
    }
    let places = places(text);
    let seed = Join { place: places.as_deref(), around: 0..0 };
    seed.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| unreadable(text, &error))
}

/// Any one well-formed document.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

fn unreadable(text: &str, error: &serde_yaml::Error) -> Unreadable {
    let at = error.location().map_or(0, |location| byte_of_character(text, location.index()));
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = text[line..].split(|c: char| !c.is_whitespace()).next().unwrap_or("");
    if let Some(tab) = indent.find('\t').filter(|_| !indent.contains('\n')) {
        return Unreadable { at: line + tab, text: "a tab indents this line: YAML wants spaces".to_owned() };
    }
    let message = error.to_string();
    if message.contains("more than one document") {
        let at = text.find("\n---").map_or(0, |newline| newline + 1);
        return Unreadable { at, text: "a second document begins here: a job file is one".to_owned() };
    }
    Unreadable { at, text: format!("not YAML: {}", without_places(&message)) }
}

/// libyaml's text without its `at line 3 column 9`: the complaint's own place says that.
fn without_places(message: &str) -> String {
    let first = message.split(", while").next().unwrap_or(message);
    first.split(" at line ").next().unwrap_or(first).to_owned()
}

fn byte_of_character(text: &str, character: usize) -> usize {
    text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
}

/// Reads one node and hangs it on its place. Where the two parsers disagree, a node stands where the one around it does.
struct Join<'p> {
    place: Option<&'p Place>,
    around: Range<usize>,
}

impl<'p> Join<'p> {
    fn span(&self) -> Range<usize> {
        self.place.map_or_else(|| self.around.clone(), |place| place.span.clone())
    }

    fn node(&self, content: Content) -> Node {
        Node { span: self.span(), content }
    }

    fn written(&self, otherwise: impl fmt::Display) -> String {
        match self.place.map(|place| &place.shape) {
            Some(Shape::Scalar(text)) => text.clone(),
            _ => otherwise.to_string(),
        }
    }

    fn child(&self, nodes: &'p [Rc<Place>], at: usize) -> Self {
        Self { place: nodes.get(at).map(Rc::as_ref), around: self.span() }
    }

    fn integer(&self, number: i128) -> Node {
        self.node(Content::Integer { number, written: self.written(number) })
    }
}

impl<'de> DeserializeSeed<'de> for Join<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Join<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("YAML")
    }

    fn visit_unit<E: Error>(self) -> Result<Node, E> {
        Ok(self.node(Content::Null))
    }

    /// What a text of nothing but comments is to the parser.
    fn visit_none<E: Error>(self) -> Result<Node, E> {
        Ok(self.node(Content::Null))
    }

    fn visit_bool<E: Error>(self, is_true: bool) -> Result<Node, E> {
        Ok(self.node(Content::Bool { is_true, written: self.written(is_true) }))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Node, E> {
        Ok(self.integer(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Node, E> {
        Ok(self.integer(number.into()))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Node, E> {
        Ok(self.integer(number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Node, E> {
        Ok(self.integer(i128::try_from(number).unwrap_or(i128::MAX)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Node, E> {
        Ok(self.node(Content::Float { written: self.written(number) }))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Node, E> {
        Ok(self.node(Content::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let places: &[_] = match self.place.map(|place| &place.shape) {
            Some(Shape::List(nodes)) => nodes,
            _ => &[],
        };
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element_seed(self.child(places, nodes.len()))? {
            nodes.push(node);
        }
        Ok(self.node(Content::List(nodes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let places: &[_] = match self.place.map(|place| &place.shape) {
            Some(Shape::Map(nodes)) => nodes,
            _ => &[],
        };
        let mut entries = Vec::new();
        while let Some(key) = map.next_key_seed(self.child(places, 2 * entries.len()))? {
            let value = map.next_value_seed(self.child(places, 2 * entries.len() + 1))?;
            entries.push((key, value));
        }
        Ok(self.node(map_of(entries)))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node, A::Error> {
        let (_, value) = tagged.variant::<String>()?;
        value.newtype_variant::<serde::de::IgnoredAny>()?;
        Ok(self.node(Content::Strange("a YAML tag (`!…`)")))
    }
}

/// A map of named values, with what `<<` brings behind them.
fn map_of(entries: Vec<(Node, Node)>) -> Content {
    let (mut named, mut merged) = (Vec::new(), Vec::new());
    for (key, value) in entries {
        match (key.content, value.content) {
            (Content::Text(name), Content::Map(brought)) if name == "<<" => merged.extend(brought),
            (key_content, content) => {
                let Some(name) = name_of(key_content) else { return Content::Strange("a key that is no plain word") };
                named.push((Key { span: key.span, name }, Node { span: value.span, content }));
            }
        }
    }
    for (key, value) in merged {
        if !named.iter().any(|(own, _)| own.name == key.name) {
            named.push((key, value));
        }
    }
    Content::Map(named)
}

fn name_of(content: Content) -> Option<String> {
    match content {
        Content::Text(name) => Some(name),
        Content::Bool { written, .. } | Content::Integer { written, .. } | Content::Float { written } => Some(written),
        _ => None,
    }
}
