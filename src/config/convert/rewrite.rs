//! Where each key of versions 1 and 2 goes in version 3. Called by `mod.rs`.

use crate::config::convert::comments::{Comments, extent};
use crate::config::convert::page::{Element, Entry, Value, quoted, written};
use crate::config::convert::{contents, is_same};
use crate::config::problem::Complaints;
use crate::config::v3::{self, ANYWHERE, BATCH, GPDB, Home, KAFKA, MODES, OPTION, TABLE, TASK};
use crate::config::yaml::{self, Content, Key, Node};

/// The whole text of version 3.
pub(super) fn rewritten(text: &str, root: &Node, comments: Comments, complaints: &Complaints<'_>) -> String {
    let mut rewriter = Rewriter { text, comments, complaints };
    let entries = rewriter.file(root);
    let head: String = rewriter.comments.head.iter().map(|line| format!("{line}\n")).collect();
    let foot: String = rewriter.comments.foot().into_iter().map(|line| format!("{line}\n")).collect();
    format!("{head}{}{foot}", written(&entries, 0))
}

/// Keys that version 3 has no place for, and what to do without them.
const WITHOUT_PLACE: [(&str, &str); 4] = [
    ("KAFKA.INPUT.LOCAL_HOSTNAME", "start the load with `--gpfdist-host`"),
    ("KAFKA.INPUT.LOCAL_PORT", "start the load with `--gpfdist-port`"),
    ("KAFKA.INPUT.SOURCE.ENCRYPTION", "it has no effect"),
    ("KAFKA.POLL", "it has no effect"),
];

/// Blocks of version 2 whose keys version 3 has elsewhere.
const TAKEN_APART: [&str; 8] = [
    "KAFKA",
    "KAFKA.INPUT",
    "KAFKA.INPUT.SOURCE",
    "KAFKA.METADATA",
    "KAFKA.DEAD_LETTER",
    "KAFKA.COMMIT",
    "KAFKA.TASK",
    "KAFKA.INPUT.META",
];

pub(super) struct Rewriter<'a> {
    pub text: &'a str,
    pub comments: Comments,
    pub complaints: &'a Complaints<'a>,
}

impl Rewriter<'_> {
    fn file(&mut self, root: &Node) -> Vec<Entry> {
        for block in TAKEN_APART {
            if let Some((key, Node { content: Content::Map(entries), .. })) = find(root, block)
                && let Some((first, _)) = entries.first()
            {
                self.comments.hand_down(key.span.start, first.span.start);
            }
        }
        for (home, instead) in WITHOUT_PLACE {
            if let Some((key, node)) = find(root, home) {
                self.leave_out(key, node, instead);
            }
        }
        let one = |kind: &str, entries| {
            Value::List(vec![Element {
                value: Value::Block(vec![Entry::new(kind, Value::Block(entries))]),
                around: Default::default(),
            }])
        };
        let v3 = || Value::Plain("v3".to_owned());
        let target = self.target(root);
        let source = self.source(root);
        let option = self.homes(root, &OPTION, Self::lowered);
        let mut entries = vec![
            find(root, "VERSION")
                .map_or_else(|| Entry::new("version", v3()), |(key, _)| self.entry("version", key, v3())),
            Entry::new("targets", one("gpdb", target)),
            Entry::new("sources", one("kafka", source)),
        ];
        entries.extend(Entry::block("option", option));
        entries
    }

    /// Says that a key has no place in version 3; its comments go with it.
    pub fn leave_out(&self, key: &Key, node: &Node, instead: &str) {
        let text = format!("{} is left out, for which version 3 has no key", key.name);
        self.complaints.warning(&key.span, text, Some(instead.to_owned()));
        self.comments.drop_within(&(key.span.start..node.span.end.max(key.span.end)));
    }

    /// What there is of some keys at their homes in version 2.
    fn homes(&self, root: &Node, homes: &[Home], value: fn(&Self, &Node) -> Value) -> Vec<Entry> {
        let found =
            homes.iter().filter_map(|(name, home)| Some((*name, find(root, home.trim_start_matches("GPDB."))?)));
        found.map(|(name, (key, node))| self.entry(name, key, value(self, node))).collect()
    }

    /// An entry with the comments around the key that it comes from.
    pub fn entry(&self, name: &str, key: &Key, value: Value) -> Entry {
        Entry { around: self.comments.take(key.span.start), ..Entry::new(name, value) }
    }

    fn target(&self, root: &Node) -> Vec<Entry> {
        let mut entries = self.homes(root, &GPDB, Self::value);
        if let Some((key, node)) = find(root, "KAFKA.OUTPUT") {
            let value = Value::Block(self.table(node));
            let list = Value::List(vec![Element { value, around: Default::default() }]);
            entries.push(self.entry("tables", key, list));
        }
        if let Some((key, Node { content: Content::List(nodes), .. })) = find(root, "KAFKA.OUTPUTS") {
            let table = |node| Element { value: Value::Block(self.table(node)), around: Default::default() };
            let list = Value::List(nodes.iter().map(table).collect());
            entries.push(self.entry("tables", key, list));
        }
        entries
    }

    fn table(&self, output: &Node) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, home) in TABLE {
            let Some((key, node)) = find(output, home) else { continue };
            let value = match name {
                "transformer" => self.lowered(node),
                "mapping" => self.mapping(node),
                _ => self.value(node),
            };
            entries.push(self.entry(name, key, value));
        }
        let given = find(output, "MODE");
        let word = given.and_then(|(_, node)| yaml_text(node)).unwrap_or_default().trim().to_lowercase();
        let (mode, keys) = MODES.into_iter().find(|(mode, _)| *mode == word).unwrap_or(MODES[0]);
        let inside = keys.iter().filter_map(|(name, home)| Some((*name, find(output, home)?)));
        let inside = inside.map(|(name, (key, node))| self.entry(name, key, self.value(node))).collect();
        for (_, name) in MODES[2].1.iter().filter(|key| !keys.contains(key)) {
            if let Some((key, node)) = find(output, name) {
                self.leave_out(key, node, "it has no effect in this mode");
            }
        }
        if let Some((key, _)) = given {
            let value = Value::Block(vec![Entry::new(mode, Value::Block(inside))]);
            // behind `table` and `schema`, before the long ones
            let at = entries.iter().take_while(|entry| ["table", "schema"].contains(&entry.key.as_str())).count();
            entries.insert(at, self.entry("mode", key, value));
        }
        entries
    }

    /// Either form becomes `column: expression`.
    fn mapping(&self, node: &Node) -> Value {
        let Content::List(nodes) = &node.content else { return self.own_keys(node) };
        let mapped = |node| {
            let ((key, name), (expression_key, expression)) = (find(node, "NAME")?, find(node, "EXPRESSION")?);
            let mut entry = self.entry(&self.as_key(name), key, self.value(expression));
            // two keys become one line, which has room for one comment
            let more = self.comments.take(expression_key.span.start);
            entry.around.above.extend(more.above);
            if let Some(beside) = more.beside {
                entry.around.above.extend(entry.around.beside.replace(beside));
            }
            Some(entry)
        };
        Value::Block(nodes.iter().filter_map(mapped).collect())
    }

    fn source(&self, root: &Node) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (name, home) in KAFKA {
            let Some((key, node)) = find(root, home) else { continue };
            let value = if name == "rdkafka_prop" { self.own_keys(node) } else { self.value(node) };
            entries.push(self.entry(name, key, value));
        }
        if let Some((key, node)) = find(root, "KAFKA.INPUT.TRANSFORMER") {
            entries.push(self.entry("transformer", key, self.lowered(node)));
        }
        if let Some((_, input)) = find(root, "KAFKA.INPUT") {
            entries.extend(contents::contents(self, input));
        }
        entries.extend(self.homes(root, &ANYWHERE, Self::value));
        let batch = Entry::block("batch_size", self.homes(root, &BATCH, Self::value));
        let task = batch.into_iter().chain(self.homes(root, &TASK, Self::value)).collect();
        entries.extend(Entry::block("task", task));
        entries
    }

    /// A block whose keys version 3 has in lower case.
    pub fn lowered(&self, node: &Node) -> Value {
        let Content::Map(entries) = &node.content else { return self.value(node) };
        let lowered = |(key, node): &(Key, Node)| {
            let value = if key.name == "PROPERTIES" { self.own_keys(node) } else { self.value(node) };
            self.entry(&v3::inner(&key.name), key, value)
        };
        Value::Block(entries.iter().map(lowered).collect())
    }

    /// A block whose keys are the user's own.
    fn own_keys(&self, node: &Node) -> Value {
        let Content::Map(entries) = &node.content else { return self.value(node) };
        let own = |(key, node): &(Key, Node)| {
            let name = Node { span: key.span.clone(), content: Content::Text(key.name.clone()) };
            self.entry(&self.as_key(&name), key, self.value(node))
        };
        Value::Block(entries.iter().map(own).collect())
    }

    /// A value as the file spells it, where that means the same elsewhere.
    pub fn value(&self, node: &Node) -> Value {
        if let Content::List(nodes) = &node.content {
            let flow = format!("[{}]", nodes.iter().map(|node| self.spelled(node)).collect::<Vec<_>>().join(", "));
            let is_flow =
                !flow.contains('\n') && read_back(&format!("k: {flow}")).is_some_and(|back| is_same(&back, node));
            if is_flow {
                return Value::Plain(flow);
            }
            let element =
                |node: &Node| Element { value: self.value(node), around: self.comments.take(node.span.start) };
            return Value::List(nodes.iter().map(element).collect());
        }
        match &node.content {
            Content::Text(text) if text.contains('\n') => lines(text),
            _ => Value::Plain(self.spelled(node)),
        }
    }

    fn spelled(&self, node: &Node) -> String {
        let slice = self.text.get(extent(self.text, &node.span)).unwrap_or("").trim();
        let slice = match slice.strip_prefix('&') {
            Some(anchored) => anchored.split_once(' ').map_or("", |(_, value)| value.trim()),
            None => slice,
        };
        let is_right =
            !slice.contains('\n') && read_back(&format!("k: {slice}")).is_some_and(|back| is_same(&back, node));
        if is_right { slice.to_owned() } else { otherwise(node) }
    }

    /// A name as a key.
    fn as_key(&self, name: &Node) -> String {
        let wanted = yaml_text(name).unwrap_or_default();
        let slice = self.spelled(name);
        let is_key = |text: &str| match yaml::parse(&format!("{text}: 1")).map(|node| node.content) {
            Ok(Content::Map(entries)) => matches!(&entries[..], [(key, _)] if key.name == wanted),
            _ => false,
        };
        if is_key(&slice) { slice } else { quoted(&wanted) }
    }
}

/// The value of `k: …`.
fn read_back(text: &str) -> Option<Node> {
    match yaml::parse(text).ok()?.content {
        Content::Map(mut entries) if entries.len() == 1 => entries.pop().map(|(_, node)| node),
        _ => None,
    }
}

/// Several lines as they are, or in quotes where YAML would not take them so.
fn lines(text: &str) -> Value {
    let value = Value::Lines(text.to_owned());
    let back = read_back(&written(&[Entry::new("k", value.clone())], 0));
    let is_right = back.is_some_and(|back| back.content == Content::Text(text.to_owned()));
    if is_right { value } else { Value::Plain(quoted(text)) }
}

/// A value whose spelling in the file cannot be taken over.
fn otherwise(node: &Node) -> String {
    match &node.content {
        Content::Text(text) => quoted(text),
        Content::Bool { written, .. } | Content::Integer { written, .. } | Content::Float { written } => {
            written.clone()
        }
        Content::Map(entries) => {
            let entry = |(key, node): &(Key, Node)| format!("{}: {}", quoted(&key.name), otherwise(node));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Content::List(nodes) => format!("[{}]", nodes.iter().map(otherwise).collect::<Vec<_>>().join(", ")),
        Content::Null | Content::Strange(_) => String::new(),
    }
}

/// The text of a scalar.
pub(super) fn yaml_text(node: &Node) -> Option<String> {
    crate::config::scalars::text(node).ok()
}

/// A key and its value, by the path to them.
pub(super) fn find<'n>(node: &'n Node, path: &str) -> Option<(&'n Key, &'n Node)> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let Content::Map(entries) = &node.content else { return None };
    let (key, node) = entries.iter().find(|(key, _)| key.name == first)?;
    rest.map_or(Some((key, node)), |rest| find(node, rest))
}
