//! The house rules that a compiler does not know: which module may name which, who may name which package, how files
//! begin and how long they get, what stands at the top level. Each failure is a sentence that says what to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Layers from the ground up. A module may name modules of lower layers and of its own, but a stage no other stage.
const LAYERS: [(&str, &[&str]); 7] = [
    (
        "vocabulary",
        &[
            "offset", "record", "row", "block", "table", "budget", "copies", "line", "schema", "units", "metrics",
            "shutdown", "pem", "password",
        ],
    ),
    ("stages", &["kafka", "decode", "encode", "gpfdist", "greenplum", "registry", "transform"]),
    ("config", &["config"]),
    ("job", &["job"]),
    ("service", &["service"]),
    ("cli", &["cli"]),
    ("main", &["main", "lib"]),
];

/// What a package's name may stand in, where that is not everywhere. A path that ends in `/` is a folder.
const PACKAGES: [(&str, &[&str]); 9] = [
    ("rdkafka", &["kafka/"]),
    ("rdkafka_sys", &["kafka/"]),
    ("hyper", &["gpfdist/server.rs", "gpfdist/body.rs", "service/"]),
    ("postgres", &["greenplum/"]),
    // beside the registry a webhook is posted, and its address looked at
    ("reqwest", &["registry/", "job/alert.rs", "config/around.rs"]),
    ("openssl", &["pem.rs", "registry/tls.rs", "greenplum/dial.rs", "gpfdist/tls.rs"]),
    ("postgres_openssl", &["greenplum/dial.rs"]),
    ("tokio_openssl", &["gpfdist/secured.rs"]),
    ("wasmi", &["transform/"]),
];

/// What may never meet: `postgres::Client` panics on a thread of tokio's.
const NEVER: [(&str, &str, &str); 1] =
    [("tokio", "greenplum/", "the SQL client is synchronous and never meets tokio; do it in gpfdist or job")];

/// Who may ask for the time of day: schedules that are written in it, and what is shown or told to people. Whatever waits
/// or orders uses a clock that cannot jump, or numbers.
const WALL_CLOCK: [&str; 7] = [
    "job/starts.rs",
    "job/run.rs",
    "job/steer.rs",
    "job/tell.rs",
    "job/alert.rs",
    "cli/console.rs",
    "cli/doctor/residue.rs",
];

/// Everything visible at the top level, and no more.
const TOP_LEVEL: [&str; 8] =
    ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "benches", "integration", "sql", "src"];

/// Of the code of a file, tests at its foot not counted: beyond this it says more than one thing.
const BODY_LINES_MAX: usize = 500;

/// Paths and hosts of particular machines. Written in two halves, so that this list does not name them itself.
const FOREIGN: [(&str, &str); 8] = [
    ("/work", "/"),
    ("/farm", "/"),
    ("/root", "/"),
    ("../sha", "red"),
    ("static.cr", "ates.io"),
    ("repo1.ma", "ven"),
    ("deb.deb", "ian.org"),
    ("registry.np", "mjs"),
];

#[test]
fn arrows_point_one_way() {
    let mut sentences = Vec::new();
    for file in sources() {
        let from = file.module();
        for to in file.modules_named() {
            sentences.extend(complaint(&from, &to).map(|sentence| format!("{}: {sentence}", file.name)));
        }
    }
    expect_none(&sentences);
}

/// What is wrong when `from` names `to`, if anything is.
fn complaint(from: &str, to: &str) -> Option<String> {
    let layer = |module: &str| LAYERS.iter().position(|(_, modules)| modules.contains(&module));
    let Some(target) = layer(to) else {
        return Some(format!("{to} is in no layer; add it to the layers of integration/tidy.rs"));
    };
    let Some(own) = layer(from) else {
        return Some(format!("{from} is in no layer; add it to the layers of integration/tidy.rs"));
    };
    let name = |layer: usize| LAYERS[layer].0;
    if from == to || own > target {
        None
    } else if own < target {
        Some(format!("{from} may not name {to}: {} are below {}; pass in what it needs", name(own), name(target)))
    } else if name(own) == "stages" {
        Some(format!("{from} may not name {to}: both are stages; join them in job"))
    } else {
        None
    }
}

#[test]
fn a_wrong_arrow_is_a_sentence() {
    let said = |from, to| complaint(from, to).unwrap_or_default();
    assert_eq!(said("encode", "gpfdist"), "encode may not name gpfdist: both are stages; join them in job");
    assert_eq!(said("row", "job"), "row may not name job: vocabulary are below job; pass in what it needs");
    assert_eq!(said("job", "kafka"), "");
    assert_eq!(said("block", "offset"), "");
    assert!(said("job", "helper").starts_with("helper is in no layer"));
}

#[test]
fn packages_stay_where_they_belong() {
    let mut sentences = Vec::new();
    for file in sources() {
        let words = file.words();
        for (package, homes) in PACKAGES {
            if words.contains_key(package) && !homes.iter().any(|home| file.is_in(home)) {
                sentences.push(format!("{}: only {} may name {package}", file.name, homes.join(" and ")));
            }
        }
        for (package, place, reason) in NEVER {
            if words.contains_key(package) && file.is_in(place) {
                sentences.push(format!("{}: {place} may not name {package}: {reason}", file.name));
            }
        }
    }
    expect_none(&sentences);
}

#[test]
fn the_wall_clock_is_read_where_a_time_of_day_is_meant() {
    let reads = ["Timestamp::now", "Zoned::now", "SystemTime::now", "UNIX_EPOCH"];
    let mut sentences = Vec::new();
    for file in sources().iter().filter(|file| !WALL_CLOCK.contains(&file.name.as_str())) {
        let found = reads.iter().find(|read| file.parts().0.contains(*read));
        sentences.extend(found.map(|read| {
            format!(
                "{}: {read} jumps; use Instant, or the database's clock, or add the file to those that show it",
                file.name
            )
        }));
    }
    expect_none(&sentences);
}

#[test]
fn a_file_begins_with_what_it_is_for_and_stays_short() {
    let mut sentences = Vec::new();
    for file in rust_files() {
        if !file.text.starts_with("//!") {
            sentences.push(format!("{}: open it with //!: what it does, what it leaves to others", file.name));
        }
        let lines = file.parts().0.lines().count();
        if lines > BODY_LINES_MAX {
            sentences.push(format!("{}: {lines} lines without tests; does it still say one thing?", file.name));
        }
    }
    expect_none(&sentences);
}

#[test]
fn the_top_level_is_fixed() {
    let mut visible: Vec<String> = tracked().iter().filter_map(|path| first_component(path)).collect();
    visible.retain(|name| !name.starts_with('.'));
    visible.dedup();
    let unwanted: Vec<_> = visible.iter().filter(|name| !TOP_LEVEL.contains(&name.as_str())).collect();
    assert!(unwanted.is_empty(), "{unwanted:?} may not stand at the top level; it is {TOP_LEVEL:?} and dot files");
}

#[test]
fn nothing_names_a_particular_machine() {
    let mut sentences = Vec::new();
    for path in tracked().into_iter().filter(|path| !path.ends_with("Cargo.lock")) {
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else { continue };
        for (line, content) in text.lines().enumerate() {
            let found = FOREIGN.iter().map(|(head, tail)| format!("{head}{tail}")).find(|name| content.contains(name));
            sentences.extend(found.map(|name| format!("{}:{}: names {name}", path.display(), line + 1)));
        }
    }
    expect_none(&sentences);
}

/// A Rust file of the project.
struct SourceFile {
    /// Under `src/` for sources, from the top level otherwise.
    name: String,
    text: String,
}

impl SourceFile {
    /// The top-level module it belongs to: `gpfdist` for `gpfdist/frame.rs`, `offset` for `offset.rs`.
    fn module(&self) -> String {
        let first = self.name.split('/').next().unwrap_or_default();
        first.trim_end_matches(".rs").to_owned()
    }

    fn is_in(&self, place: &str) -> bool {
        if place.ends_with('/') { self.name.starts_with(place) } else { self.name == place }
    }

    /// What comes before the tests at the foot, and those tests.
    fn parts(&self) -> (&str, &str) {
        let is_tests = self.name.ends_with("/tests.rs");
        let foot = self.text.find("\n#[cfg(test)]\nmod ").unwrap_or(self.text.len());
        let foot = if is_tests { 0 } else { foot };
        self.text.split_at(foot)
    }

    /// Identifiers of the code that begin a path or a `use`: `hyper` of `hyper::Body`.
    fn words(&self) -> BTreeMap<String, usize> {
        let mut words = BTreeMap::new();
        for path in paths(&code(&self.text)) {
            if let Some(first) = path.first() {
                *words.entry(first.clone()).or_insert(0) += 1;
            }
        }
        words
    }

    /// Top-level modules that it names, as `crate::x` or through as many `super` as lead there.
    fn modules_named(&self) -> Vec<String> {
        let depth = self.name.split('/').count() - usize::from(self.name.ends_with("/mod.rs"));
        let (body, tests) = self.parts();
        let mut named = top_modules(body, depth);
        named.extend(top_modules(tests, depth + 1));
        named
    }
}

/// Top-level modules named by a piece of code that is itself `depth` modules below the top.
fn top_modules(text: &str, depth: usize) -> Vec<String> {
    let mut named = Vec::new();
    for path in paths(&code(text)) {
        let supers = path.iter().take_while(|part| *part == "super").count();
        let is_crate = matches!(path.first().map(String::as_str), Some("crate" | "gpkafka"));
        let at = if is_crate { 1 } else { supers };
        if (is_crate || supers == depth) && path.len() > at {
            named.push(path[at].clone());
        }
    }
    named.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    named
}

/// Code without comments and without what is in string literals of one line.
fn code(text: &str) -> String {
    text.lines().map(strip).collect::<Vec<_>>().join("\n")
}

/// A line without its comment and the insides of its strings.
fn strip(line: &str) -> String {
    let mut kept = String::new();
    let (mut in_string, mut escaped, mut previous) = (false, false, ' ');
    for char in line.chars() {
        if in_string {
            in_string = escaped || char != '"';
            escaped = !escaped && char == '\\';
        } else if char == '"' && previous != '\'' {
            in_string = true;
        } else if char == '/' && previous == '/' {
            kept.pop();
            return kept;
        } else {
            kept.push(char);
        }
        previous = char;
    }
    kept
}

/// All paths of a piece of code, with groups taken apart: `use crate::{a, b::c}` gives `crate::a` and `crate::b::c`.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    // What stands before each open brace of a `use` group.
    let mut stack: Vec<Vec<String>> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut chars = code.chars().peekable();
    while let Some(char) = chars.next() {
        if char.is_alphanumeric() || char == '_' {
            word.push(char);
            continue;
        }
        if !word.is_empty() {
            path.push(std::mem::take(&mut word));
        }
        if char == ':' && chars.peek() == Some(&':') {
            chars.next();
            match chars.peek() {
                Some('{') => {
                    chars.next();
                    stack.push([stack.last().cloned().unwrap_or_default(), std::mem::take(&mut path)].concat());
                }
                _ => continue,
            }
            continue;
        }
        if path.len() + stack.len() > 0 && !path.is_empty() {
            all.push([stack.last().cloned().unwrap_or_default(), std::mem::take(&mut path)].concat());
        }
        match char {
            '}' => drop(stack.pop()),
            '{' => stack.push(stack.last().cloned().unwrap_or_default()),
            _ => {}
        }
    }
    all.retain(|path| path.len() > 1);
    all
}

#[test]
fn paths_are_found_in_groups_and_expressions() {
    let found = |code: &str| paths(code).into_iter().map(|path| path.join("::")).collect::<Vec<_>>();
    assert_eq!(
        found("use crate::{offset, block::{self, Run}};"),
        ["crate::offset", "crate::block::self", "crate::block::Run"]
    );
    assert_eq!(found("fn f() { crate::job::run(hyper::Body::new()) }"), ["crate::job::run", "hyper::Body::new"]);
    assert_eq!(strip("let a = \"crate::x\"; // crate::y"), "let a = ; ");
}

/// The library and the binary, named from `src/`.
fn sources() -> Vec<SourceFile> {
    let mut files = rust_files();
    files.retain(|file| file.name.starts_with("src/"));
    for file in &mut files {
        file.name = file.name["src/".len()..].to_owned();
    }
    files
}

fn rust_files() -> Vec<SourceFile> {
    let mut paths = tracked();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path)).ok()?;
        Some(SourceFile { name: path.display().to_string(), text })
    };
    paths.into_iter().filter_map(read).collect()
}

/// Files that git knows or would take, from the top level; a folder without git (a source archive) is walked.
fn tracked() -> Vec<PathBuf> {
    let mut git = Command::new("git");
    let listed = git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output();
    match listed {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            text.lines().map(PathBuf::from).filter(|path| root().join(path).exists()).collect()
        }
        _ => walk(root()),
    }
}

fn walk(top: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![top.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            if path == top.join("target") || path == top.join(".git") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.extend(path.strip_prefix(top).map(Path::to_path_buf));
            }
        }
    }
    files
}

fn first_component(path: &Path) -> Option<String> {
    Some(path.components().next()?.as_os_str().to_str()?.to_owned())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn expect_none(sentences: &[String]) {
    assert!(sentences.is_empty(), "\n{}", sentences.join("\n"));
}
