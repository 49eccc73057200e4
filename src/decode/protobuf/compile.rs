//! Schemas → descriptors: `.proto` texts of a registry, and descriptor sets of a compiler.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::{FileDescriptorProto, FileDescriptorSet};
use prost_reflect::{DescriptorPool, FileDescriptor, MessageDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};

use crate::line;
use crate::schema::{Reference, Schema, SchemaKind};

/// The schema itself has no name in a registry. No import can be called so: a name is a path without empty parts.
const MAIN: &str = "schema.main";

/// Brackets inside brackets: people write a handful, and the compiler's stack has an end.
pub(super) const BRACKETS_MAX: usize = 100;

/// Characters of what the compiler says that are shown.
const WORDS_MAX: usize = 300;

/// Messages of a descriptor set that are named when the one that is asked for is not among them.
const NAMES_MAX: usize = 5;

/// Imports that the registry's serializers do not register, since each of its clients has them.
const CLIENT_FILES: [(&str, &str); 2] = [
    (
        "confluent/meta.proto",
        r#"syntax = "proto3"; package confluent; import "google/protobuf/descriptor.proto";
        message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
        extend google.protobuf.FileOptions { Meta file_meta = 1088; }
        extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
        extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
        extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
        extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }"#,
    ),
    (
        "confluent/type/decimal.proto",
        r#"syntax = "proto3"; package confluent.type;
        message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"#,
    ),
];

/// Compiles a schema of a registry.
///
/// # Errors
/// Why it is none.
pub(super) fn file(schema: &Schema) -> Result<FileDescriptor, String> {
    if schema.kind != SchemaKind::Protobuf {
        return Err(format!("it is a schema of {:?}, not of Protobuf", schema.kind));
    }
    let texts = schema.references.iter().map(|reference| &reference.text).chain([&schema.text]);
    if texts.into_iter().any(|text| is_nested_too_deep(text)) {
        return Err(format!("brackets in it are nested deeper than {BRACKETS_MAX}"));
    }
    let mut files = schema.references.clone();
    files.push(Reference { name: MAIN.to_owned(), text: schema.text.clone() });
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    let reach = Arc::new(AtomicUsize::new(0));
    let mut compiler = Compiler::with_file_resolver(Files { files, reach: Arc::clone(&reach) });
    for (at, name) in names.iter().enumerate() {
        reach.store(at + 1, Ordering::Relaxed);
        compiler.open_file(name).map_err(|error| line::excerpt(&error.to_string(), WORDS_MAX))?;
    }
    let file = compiler.descriptor_pool().get_file_by_name(MAIN);
    file.ok_or_else(|| "the compiler lost it".to_owned())
}

/// What imports lead to. Of the schema's own files only as many as are open yet: they come in an order in which each
/// needs those before it alone, so that no chain of imports is followed at once.
struct Files {
    files: Vec<Reference>,
    reach: Arc<AtomicUsize>,
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let open = self.files.iter().take(self.reach.load(Ordering::Relaxed));
        if let Some(file) = open.into_iter().find(|file| file.name == name) {
            return File::from_source(name, &file.text);
        }
        match CLIENT_FILES.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => File::from_source(name, text),
            None => GoogleFileResolver::new().open_file(name),
        }
    }
}

fn is_nested_too_deep(text: &str) -> bool {
    let mut depth = 0usize;
    text.bytes().any(|byte| {
        match byte {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > BRACKETS_MAX
    })
}

/// The message at these indexes, from the outside in. Entries of maps, which the compiler makes messages of, do not count.
pub(super) fn nth_message(file: &FileDescriptor, indexes: &[usize]) -> Option<MessageDescriptor> {
    let (first, inner) = indexes.split_first()?;
    let mut message = file.messages().nth(*first)?;
    for &index in inner {
        let declared = message.child_messages().filter(|message| !message.is_map_entry()).nth(index);
        message = declared?;
    }
    Some(message)
}

/// What the descriptors here cannot stand: syntaxes that they do not know (editions are newer, and the empty one is none),
/// and files that import each other, whose public imports they would follow for ever. What is no descriptor set is theirs
/// to tell.
fn check_files(descriptor_set: &[u8]) -> Result<(), String> {
    let Ok(set) = FileDescriptorSet::decode(descriptor_set) else { return Ok(()) };
    if let Some(file) = set.file.iter().find(|file| !matches!(file.syntax.as_deref(), None | Some("proto2" | "proto3")))
    {
        let [name, syntax] = [file.name(), file.syntax()].map(|text| line::excerpt(text, WORDS_MAX));
        return Err(format!(
            "file \"{name}\" of the descriptor set is of syntax \"{syntax}\"; known are proto2 and proto3"
        ));
    }
    match imports_itself(&set.file) {
        None => Ok(()),
        Some(name) => {
            let name = line::excerpt(name, WORDS_MAX);
            Err(format!("file \"{name}\" of the descriptor set imports itself, or files that import it"))
        }
    }
}

/// A file on a circle of imports, or behind one: what is left when files are taken away that import nothing of the rest.
fn imports_itself(files: &[FileDescriptorProto]) -> Option<&str> {
    let names: HashSet<&str> = files.iter().map(FileDescriptorProto::name).collect();
    let inside =
        |file: &FileDescriptorProto| file.dependency.iter().filter(|name| names.contains(name.as_str())).count();
    let mut left: Vec<usize> = files.iter().map(inside).collect();
    let mut importers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, file) in files.iter().enumerate() {
        file.dependency.iter().for_each(|name| importers.entry(name).or_default().push(at));
    }
    let mut free: Vec<usize> = (0..files.len()).filter(|at| left[*at] == 0).collect();
    while let Some(at) = free.pop() {
        // a name counts once, whatever the number of files that bear it
        for importer in importers.remove(files[at].name()).unwrap_or_default() {
            left[importer] -= 1;
            free.extend((left[importer] == 0).then_some(importer));
        }
    }
    left.iter().position(|left| *left > 0).map(|at| files[at].name())
}

/// A message of a descriptor set.
///
/// # Errors
/// See [`super::check`].
pub(super) fn message(descriptor_set: &[u8], name: &str) -> Result<MessageDescriptor, String> {
    check_files(descriptor_set)?;
    let pool = DescriptorPool::decode(descriptor_set).map_err(|error| {
        let cause = line::excerpt(&error.to_string(), WORDS_MAX);
        format!("no descriptor set with all that it imports: {cause}; make one with protoc --include_imports --descriptor_set_out")
    })?;
    if let Some(message) = pool.get_message_by_name(name.trim_start_matches('.')) {
        return Ok(message);
    }
    let all: Vec<MessageDescriptor> = pool.all_messages().filter(|message| !message.is_map_entry()).collect();
    let names: Vec<&str> = all.iter().map(MessageDescriptor::full_name).take(NAMES_MAX).collect();
    let more = if all.len() > names.len() { ", …" } else { "" };
    Err(format!(
        "the descriptor set has no message \"{}\"; it has {}{more}",
        line::excerpt(name, WORDS_MAX),
        names.join(", ")
    ))
}
