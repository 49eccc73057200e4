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
    /// By which it is asked for.
    pub name: String,
    /// As the file has it: not the name where version 3 calls it otherwise.
    pub written: String,
}

impl Key {
    pub fn new(span: Range<usize>, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { span, written: name.clone(), name }
    }
}

/// Why a text is no YAML, and where.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub at: usize,
    pub text: String,
}

/// The one document of a text; `Content::Null` if it holds none.
pub(super) fn parse(text: &str) -> Result<Node, Unreadable> {
    if let Some(at) = too_deep(text) {
        return Err(Unreadable { at, text: format!("more than {NESTING_MAX} brackets or dashes are open here") });
    }
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

/// Both parsers take time by the square of the depth before they say that it is too much: minutes for 200,000 brackets.
/// Far more than any job file has, also of brackets that are only text, and read in no time.
const NESTING_MAX: usize = 1000;

/// Where a text opens more than any job file does. Brackets count wherever they stand, since this only guards the
/// parsers, as do dashes and question marks that open one list or map inside the other on one line.
fn too_deep(text: &str) -> Option<usize> {
    let (mut brackets, mut marks) = (0_usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => brackets += 1,
            b']' | b'}' => brackets = brackets.saturating_sub(1),
            b'\n' => marks = 0,
            b'-' | b'?' if text[at + 1..].starts_with([' ', '\t']) => marks += 1,
            _ => {}
        }
        if brackets.max(marks) > NESTING_MAX {
            return Some(at);
        }
    }
    None
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

/// libyaml's text without its first `at line 3 column 9`, which the complaint's own place says. A second one, of what
/// was being read, stays.
fn without_places(message: &str) -> String {
    let (first, rest) = message.split_once(", while").map_or((message, ""), |(first, rest)| (first, rest));
    let first = first.split(" at line ").next().unwrap_or(first);
    if rest.is_empty() { first.to_owned() } else { format!("{first} while{rest}") }
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

    fn visit_none<E: Error>(self) -> Result<Node, E> {
        self.visit_unit()
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
                named.push((Key::new(key.span, name), Node { span: value.span, content }));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every scalar and key of a text, with what stands in its place.
    fn places_of(text: &str) -> Vec<(String, String)> {
        fn walk(node: &Node, text: &str, found: &mut Vec<(String, String)>) {
            match &node.content {
                Content::List(nodes) => nodes.iter().for_each(|node| walk(node, text, found)),
                Content::Map(entries) => {
                    for (key, node) in entries {
                        found.push((key.name.clone(), text[key.span.clone()].to_owned()));
                        walk(node, text, found);
                    }
                }
                Content::Text(meant) => found.push((meant.clone(), text[node.span.clone()].to_owned())),
                Content::Bool { written, .. } | Content::Integer { written, .. } | Content::Float { written } => {
                    found.push((written.clone(), text[node.span.clone()].to_owned()));
                }
                Content::Null | Content::Strange(_) => {}
            }
        }
        let mut found = Vec::new();
        walk(&parse(text).unwrap(), text, &mut found);
        found
    }

    #[test]
    fn every_kind_of_scalar_has_its_place_and_its_spelling() {
        let text = "é: [0.10, 'it''s', \"a\\tb\", 0x1F]\r\nb: |\r\n  c\r\n  d\r\n? e\r\n: &f g\r\nh: *f\r\n3: {i: ~, j: TRUE}\r\n";
        let found = places_of(text);
        let found: Vec<_> = found.iter().map(|(meant, place)| (meant.as_str(), place.trim_end())).collect();
        assert_eq!(
            found[..6],
            [("é", "é"), ("0.10", "0.10"), ("it's", "'it''s'"), ("a\tb", "\"a\\tb\""), ("0x1F", "0x1F"), ("b", "b"),]
        );
        assert!(found[6].0 == "c\nd\n" && found[6].1.contains("c\r\n  d"), "{:?}", found[6]);
        assert_eq!(
            found[7..],
            [
                ("e", "e"),
                ("g", "&f g"),
                ("h", "h"),
                ("g", "&f g"),
                ("3", "3"),
                ("i", "i"),
                ("j", "j"),
                ("TRUE", "TRUE"),
            ]
        );
    }

    #[test]
    fn merged_maps_bring_what_is_not_there() {
        let root = parse("a: &a {b: 1, c: 2}\nd:\n  <<: *a\n  c: 3\n").unwrap();
        let Content::Map(entries) = &root.content else { panic!("{root:?}") };
        let Content::Map(merged) = &entries[1].1.content else { panic!("{root:?}") };
        assert_eq!(merged.iter().map(|(key, _)| key.name.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    }

    #[test]
    fn depth_and_repetition_are_bounded() {
        let began = std::time::Instant::now();
        for (mark, times) in
            [("[", 200_000), ("{", 200_000), ("- ", 200_000), ("? ", 200_000), ("[]", 200_000), ("a: ", 1000)]
        {
            assert!(parse(&mark.repeat(times)).is_err(), "{mark}");
        }
        assert!(parse(&format!("{}1{}", "[".repeat(200), "]".repeat(200))).is_err());
        let stairs: String = (0..1000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
        assert!(parse(&stairs).is_err());
        assert!(began.elapsed().as_secs() < 20, "the depth is found before it costs time");
        let unread = parse(&format!("a: {}", "[".repeat(2000))).unwrap_err();
        assert_eq!((unread.at, unread.text.as_str()), (1003, "more than 1000 brackets or dashes are open here"));
        let laughs = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
            text + &format!("a{n}: &a{n} [*a{}, *a{}, *a{}]\n", n - 1, n - 1, n - 1)
        });
        assert!(parse(&laughs).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn both_parsers_see_one_document(
            entries in proptest::collection::vec(("[a-z]{1,4}", "[a-z0-9 .']{0,8}", 0..5u8), 1..12),
        ) {
            let mut text = String::new();
            for (at, (key, value, form)) in entries.iter().enumerate() {
                let quoted = value.replace('\'', "''");
                text += &match form {
                    0 => format!("{key}{at}: '{quoted}'\n"),
                    1 => format!("{key}{at}: # comment\n  - '{quoted}'\n  - {{a: \"x\", é: [1, 2]}}\n"),
                    2 => format!("{key}{at}:\n   b: |\n     {at}\n     lines\n   c: >-\n     folded\n"),
                    3 => format!("'{key}{at}': plain text\n  over lines\n"),
                    _ => format!("{key}{at}:\n"),
                };
            }
            for (meant, place) in places_of(&text) {
                let word = meant.split([' ', '\n', '\'']).find(|word| !word.is_empty()).unwrap_or("");
                prop_assert!(place.contains(word), "{meant:?} stands at {place:?} in {text}");
            }
        }
    }
}
