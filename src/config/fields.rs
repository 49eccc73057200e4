//! A cursor over one map of a file: every key is asked for by name, and what nobody asked for is unknown. So the code
//! that reads a block is also the list of its keys. Called by `file.rs`, `content.rs`, `output.rs`, `around.rs` and
//! `server.rs`.

use std::ops::Range;

use strsim::damerau_levenshtein;

use crate::config::problem::Complaints;
use crate::config::v3;
use crate::config::yaml::{Content, Key, Node};

/// Why a value is refused; the cursor adds which and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    /// `must be …, not …`.
    pub text: String,
    pub hint: Option<String>,
}

/// What a value is not: `must be {expected}, not {what it is}`.
pub(super) fn must_be(expected: &str, node: &Node) -> Wrong {
    Wrong { text: format!("must be {expected}, not {}", described(node)), hint: None }
}

fn described(node: &Node) -> String {
    match &node.content {
        Content::Null => "nothing".to_owned(),
        Content::Bool { written, .. } | Content::Integer { written, .. } | Content::Float { written } => {
            format!("`{written}`")
        }
        Content::Text(text) => format!("`{}`", excerpt(text)),
        Content::List(_) => "a list".to_owned(),
        Content::Map(_) => "a block of keys".to_owned(),
        Content::Strange(what) => (*what).to_owned(),
    }
}

/// The first line of a text, cut to what reads well inside a sentence.
pub(super) fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let shown: String = text.lines().next().unwrap_or("").chars().take(CHARACTERS_MAX).collect();
    if shown.len() == text.len() { shown } else { format!("{}…", shown.trim_end()) }
}

/// One map of the file, being read.
pub(super) struct Fields<'a> {
    pub complaints: &'a Complaints<'a>,
    /// Empty at the top: `KAFKA.COMMIT`.
    pub path: String,
    /// Where to say that something is missing: the map's own key.
    pub span: Range<usize>,
    entries: &'a [(Key, Node)],
    asked: Vec<&'static str>,
    missing: Vec<&'static str>,
}

/// One key and its value.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub key: &'a Key,
    pub node: &'a Node,
}

impl<'a> Field<'a> {
    /// Where to complain about the value: its key, where it has none.
    pub fn span(&self) -> &'a Range<usize> {
        if self.node.span.is_empty() { &self.key.span } else { &self.node.span }
    }
}

impl<'a> Fields<'a> {
    /// The map behind a node; nothing at all is an empty map. `None` is complained about.
    pub fn new(complaints: &'a Complaints<'a>, path: String, span: &Range<usize>, node: &'a Node) -> Option<Self> {
        let entries: &[_] = match &node.content {
            Content::Map(entries) => entries,
            Content::Null => &[],
            _ => {
                let at = if node.span.is_empty() { span } else { &node.span };
                let name = if path.is_empty() { "the file" } else { &path };
                let expected = "a block of keys";
                complaints.mistake(at, format!("{name} must be {expected}, not {}", described(node)), None);
                return None;
            }
        };
        let fields = Self { complaints, path, span: span.clone(), entries, asked: Vec::new(), missing: Vec::new() };
        fields.complain_of_duplicates();
        Some(fields)
    }

    fn complain_of_duplicates(&self) {
        for (at, (key, _)) in self.entries.iter().enumerate() {
            if let Some((first, _)) = self.entries[..at].iter().find(|(first, _)| first.name == key.name) {
                let line = self.complaints.line(&first.span);
                let text = format!("`{}` is given twice{}, first in line {line}", key.written, self.under());
                self.complaints.mistake(&key.span, text, None);
            }
        }
    }

    fn under(&self) -> String {
        if self.path.is_empty() { String::new() } else { format!(" under {}", self.path) }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Whether a key is there; doesn't count as asking for it.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A key and its value, if there is one; doesn't count as asking for it.
    pub fn get(&self, key: &str) -> Option<Field<'a>> {
        let (key, node) = self.entries.iter().find(|(have, _)| have.name == key)?;
        Some(Field { key, node })
    }

    /// A key and its value, if there is one.
    pub fn take(&mut self, key: &'static str) -> Option<Field<'a>> {
        #[cfg(test)]
        asked::note(&self.path, key);
        self.asked.push(key);
        self.get(key)
    }

    /// An optional value. A key without a value, or with an empty text, is as good as none.
    pub fn read<T>(&mut self, key: &'static str, parse: impl FnOnce(&Node) -> Result<T, Wrong>) -> Option<T> {
        self.read_at(key, parse).map(|(_, value)| value)
    }

    /// An optional value, with its place.
    pub fn read_at<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) -> Option<(Field<'a>, T)> {
        let field = self.take(key).filter(|field| !is_blank(field.node))?;
        self.judge(field, parse)
    }

    /// A value without which the file is wrong.
    pub fn require<T>(&mut self, key: &'static str, parse: impl FnOnce(&Node) -> Result<T, Wrong>) -> Option<T> {
        match self.take(key) {
            Some(field) if is_blank(field.node) => {
                self.complaints.mistake(field.span(), format!("`{}` has no value", field.key.written), None);
                None
            }
            Some(field) => self.judge(field, parse).map(|(_, value)| value),
            None => {
                self.missing.push(key);
                None
            }
        }
    }

    fn judge<T>(&self, field: Field<'a>, parse: impl FnOnce(&Node) -> Result<T, Wrong>) -> Option<(Field<'a>, T)> {
        match parse(field.node) {
            Ok(value) => return Some((field, value)),
            Err(Wrong { text, hint }) => {
                self.complaints.mistake(field.span(), format!("`{}` {text}", field.key.written), hint);
            }
        }
        None
    }

    /// An optional block.
    pub fn block(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let field = self.take(key)?;
        Self::new(self.complaints, self.path_of(&field.key.written), &field.key.span, field.node)
    }

    /// A block without which the file is wrong.
    pub fn require_block(&mut self, key: &'static str) -> Option<Fields<'a>> {
        self.miss(key);
        self.block(key)
    }

    /// An optional list; one that is there must hold something.
    pub fn list(&mut self, key: &'static str) -> Option<(Field<'a>, &'a [Node])> {
        let field = self.take(key).filter(|field| field.node.content != Content::Null)?;
        match &field.node.content {
            Content::List(nodes) if nodes.is_empty() => {
                self.complaints.mistake(field.span(), format!("`{}` is an empty list", field.key.written), None);
                None
            }
            Content::List(nodes) => Some((field, nodes)),
            _ => {
                let text = format!("`{}` must be a list, not {}", field.key.written, described(field.node));
                self.complaints.mistake(field.span(), text, None);
                None
            }
        }
    }

    /// An optional list of blocks.
    pub fn blocks(&mut self, key: &'static str) -> Option<(Field<'a>, Vec<Fields<'a>>)> {
        let (field, nodes) = self.list(key)?;
        let path = self.path_of(&field.key.written);
        let block = |(at, node): (usize, &'a Node)| {
            Self::new(self.complaints, format!("entry {} of {path}", at + 1), &node.span, node)
        };
        Some((field, nodes.iter().enumerate().filter_map(block).collect()))
    }

    /// Without this key the file is wrong; says so at the end, unless the key turns out to be mistyped.
    pub fn miss(&mut self, key: &'static str) {
        if !self.has(key) {
            self.missing.push(key);
        }
    }

    /// All entries of a map whose keys are the user's own.
    pub fn entries(&self) -> impl Iterator<Item = Field<'a>> + use<'a> {
        self.entries.iter().map(|(key, node)| Field { key, node })
    }

    /// Whether there is a key that nobody asked for; what depends on two keys is not worth judging then.
    pub fn has_unknown(&self) -> bool {
        self.unknown().next().is_some()
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Key> + '_ {
        self.entries.iter().map(|(key, _)| key).filter(|key| !self.asked.contains(&key.name.as_str()))
    }

    /// Complains of what nobody asked for, and of what is missing and not merely mistyped.
    pub fn finish(mut self) {
        let unknown: Vec<_> = self.unknown().collect();
        for key in unknown {
            let meant = self.nearest(&key.name);
            self.missing.retain(|missing| Some(*missing) != meant);
            let hint = meant.map(|meant| format!("did you mean `{}`?", self.complaints.spelled(meant)));
            let hint = hint.or_else(|| {
                if self.complaints.is_of_version_3() { v3::belongs(&key.written) } else { belongs(&key.name) }
            });
            let place = if self.path.is_empty() { " at the top level".to_owned() } else { self.under() };
            self.complaints.mistake(&key.span, format!("unknown key `{}`{place}", excerpt(&key.written)), hint);
        }
        for key in &self.missing {
            let key = self.complaints.spelled(key);
            self.complaints.mistake(&self.span, format!("`{key}` is missing{}", self.under()), None);
        }
    }

    fn nearest(&self, name: &str) -> Option<&'static str> {
        let absent = self.asked.iter().copied().filter(|key| !self.has(key));
        nearest(name, absent).or_else(|| nearest(name, self.asked.iter().copied()))
    }
}

fn is_blank(node: &Node) -> bool {
    match &node.content {
        Content::Null => true,
        Content::Text(text) => text.is_empty(),
        _ => false,
    }
}

/// What somebody may have meant: the closest of some words, if it is close at all.
pub(super) fn nearest<'w>(name: &str, words: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let name = name.to_uppercase();
    let close = |word: &'w str| (damerau_levenshtein(&name, &word.to_uppercase()), word);
    let (distance, word) = words.map(close).min_by_key(|&(distance, _)| distance)?;
    // a third of a word may be wrong, and one letter of a short one
    (distance <= (word.len() / 3).max(1)).then_some(word)
}

/// Keys that people know from elsewhere, or put into the wrong block.
const HOMES: [(&str, &str); 35] = [
    ("DATABASE", "the top level"),
    ("USER", "the top level"),
    ("PASSWORD", "the top level"),
    ("HOST", "the top level"),
    ("PORT", "the top level"),
    ("VERSION", "the top level"),
    ("SCHEDULE", "the top level"),
    ("ALERT", "the top level"),
    ("INPUT", "KAFKA"),
    ("OUTPUT", "KAFKA"),
    ("METADATA", "KAFKA"),
    ("DEAD_LETTER", "KAFKA"),
    ("COMMIT", "KAFKA"),
    ("POLL", "KAFKA"),
    ("TASK", "KAFKA"),
    ("PROPERTIES", "KAFKA"),
    ("SOURCE", "KAFKA.INPUT"),
    ("VALUE", "KAFKA.INPUT"),
    ("KEY", "KAFKA.INPUT"),
    ("META", "KAFKA.INPUT"),
    ("ENCODING", "KAFKA.INPUT"),
    ("ERROR_LIMIT", "KAFKA.INPUT"),
    ("LOCAL_HOSTNAME", "KAFKA.INPUT"),
    ("LOCAL_PORT", "KAFKA.INPUT"),
    ("BROKERS", "KAFKA.INPUT.SOURCE"),
    ("TOPIC", "KAFKA.INPUT.SOURCE"),
    ("PARTITIONS", "KAFKA.INPUT.SOURCE"),
    ("FALLBACK_OFFSET", "KAFKA.INPUT.SOURCE"),
    ("TABLE", "KAFKA.OUTPUT"),
    ("MAPPING", "KAFKA.OUTPUT"),
    ("MODE", "KAFKA.OUTPUT"),
    ("MAX_ROW", "KAFKA.COMMIT"),
    ("MINIMAL_INTERVAL", "KAFKA.COMMIT"),
    ("IDLE_DURATION", "KAFKA.COMMIT"),
    ("CONSISTENCY", "KAFKA.COMMIT"),
];

fn belongs(name: &str) -> Option<String> {
    let (key, home) = HOMES.iter().find(|(key, _)| *key == name)?;
    Some(format!("`{key}` belongs {} {home}", if home.starts_with("the") { "at" } else { "under" }))
}

/// What was asked for in this thread: the list of all keys that there are, for a test.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    thread_local! {
        static ASKED: RefCell<BTreeSet<(String, &'static str)>> = const { RefCell::new(BTreeSet::new()) };
    }

    pub fn note(path: &str, key: &'static str) {
        ASKED.with_borrow_mut(|asked| asked.insert((path.to_owned(), key)));
    }

    /// Each key with the path of its block.
    pub fn take() -> BTreeSet<(String, &'static str)> {
        ASKED.take()
    }
}
