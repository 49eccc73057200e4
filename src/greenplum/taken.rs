//! JSON documents that the loader takes apart in place of the database: where all that a job's expressions want of one are
//! texts at paths, the external table gets a column for each path beside the document.
//!
//! The loader sends the texts of a plain document, and NULL for the document; any other goes as it is, and the expressions
//! do what they did. So each of them reads a path as
//! `(CASE WHEN "doc" IS NULL THEN "doc->>'id'" ELSE doc->>'id' END)`, and only one who knows both sides can tell which
//! of them has parsed. What a plain document is, [`crate::decode`] says.

use super::identity::md5_of;
use super::paths::{Other, Path, paths, replaced};
use super::settings::{Failing, Mode, Output, Settings};
use super::words::Words;
use crate::table::{Column, Ident};

/// What a name may have of bytes; a longer one the server cuts.
const NAME_BYTES_MAX: usize = 63;

/// A document that is taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub document: Ident,
    /// Columns of the external table right behind the document's, of type text.
    pub fields: Vec<TakenField>,
}

/// A text of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenField {
    /// The path as SQL writes it, where it is no longer than a name may be.
    pub column: Ident,
    /// Names of members, from the outside in.
    pub path: Vec<String>,
}

/// A document that stays whole, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    pub document: Ident,
    pub why: String,
}

/// What becomes of a job's documents.
#[derive(Debug, Clone, Default)]
pub(super) struct Documents {
    pub taken: Vec<Taken>,
    pub left: Vec<Left>,
}

/// The settings, with columns and expressions rewritten for documents that can be taken apart.
pub(super) fn take_apart(settings: &Settings) -> (Settings, Documents) {
    let mut settings = settings.clone();
    let mut documents = Documents { left: binary_documents(&mut settings), ..Documents::default() };
    for document in std::mem::take(&mut settings.documents) {
        match fields(&mut settings, &document) {
            Ok(fields) if fields.is_empty() => {}
            Ok(fields) => {
                let taken = Taken { document, fields };
                rewrite(&mut settings, &taken);
                documents.taken.push(taken);
            }
            Err(why) => documents.left.push(Left { document, why }),
        }
    }
    (settings, documents)
}

/// The texts that are wanted of a document.
fn fields(settings: &mut Settings, document: &Ident) -> Result<Vec<TakenField>, String> {
    if settings.failing != Failing::Fail {
        return Err("failing batches are kept with whole documents".to_owned());
    }
    if settings.outputs.iter().any(|output| output.transformer.is_some()) {
        return Err("a TRANSFORMER gets whole rows".to_owned());
    }
    let is_ordered = |output: &Output| match &output.mode {
        Mode::Insert => false,
        Mode::Update(wanted) | Mode::Merge(wanted) => wanted.order_columns.contains(document),
    };
    if settings.outputs.iter().any(|output| output.mapping.is_empty() || is_ordered(output)) {
        return Err("it is loaded as a column".to_owned());
    }
    let mut fields: Vec<TakenField> = Vec::new();
    for expression in expressions(settings) {
        let words = Words::of(expression);
        if words.has_row_of("ext") {
            return Err(format!("ext is the whole row in {}", shown(expression)));
        }
        let found = paths(expression, document).map_err(|other| why(&other))?;
        if !found.is_empty() && (words.has("select") || words.has("table")) {
            return Err(format!("a subquery could have a column of its name: {}", shown(expression)));
        }
        for Path { names, .. } in found {
            // to the loader a name of digits is an element of an array too
            if let Some(digits) = names.iter().find(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
                return Err(format!("'{digits}' in {}", shown(expression)));
            }
            if fields.iter().all(|field| field.path != names) {
                fields.push(TakenField { column: column(document, &names), path: names });
            }
        }
    }
    Ok(fields)
}

fn why(other: &Other) -> String {
    let text = shown(&other.text);
    match other.wants_parentheses {
        true => format!(
            "{text} wants parentheses around it: beside what stands next to it servers differ in what binds first"
        ),
        false => format!("{text} is no path to a text"),
    }
}

/// Columns of type jsonb of which expressions want texts.
fn binary_documents(settings: &mut Settings) -> Vec<Left> {
    let is_jsonb = |column: &&Column| column.sql_type.trim().eq_ignore_ascii_case("jsonb");
    let columns: Vec<Ident> =
        settings.columns.iter().flatten().filter(is_jsonb).map(|column| column.name.clone()).collect();
    let is_wanted = |name: &Ident, settings: &mut Settings| {
        expressions(settings).iter().any(|sql| paths(sql, name).is_ok_and(|paths| !paths.is_empty()))
    };
    let wanted = columns.into_iter().filter(|name| is_wanted(name, settings));
    let why = "jsonb writes what it keeps in ways of its own; a column of type json is taken apart";
    wanted.map(|document| Left { document, why: why.to_owned() }).collect()
}

fn column(document: &Ident, names: &[String]) -> Ident {
    let written = Path::written(document, names);
    Ident::exact(match written.len() <= NAME_BYTES_MAX {
        true => written,
        false => format!("path_{}", md5_of(&[&written])),
    })
}

/// Every expression that may name columns of the source.
fn expressions(settings: &mut Settings) -> Vec<&mut String> {
    let mut expressions: Vec<&mut String> = settings.input_filter.iter_mut().collect();
    for output in &mut settings.outputs {
        expressions.extend(output.mapping.iter_mut().map(|mapping| &mut mapping.expression));
        expressions.extend(&mut output.filter);
        if let Mode::Update(wanted) | Mode::Merge(wanted) = &mut output.mode {
            expressions.extend(&mut wanted.update_condition);
            expressions.extend(&mut wanted.delete_condition);
        }
    }
    expressions
}

fn rewrite(settings: &mut Settings, taken: &Taken) {
    for expression in expressions(settings) {
        if let Ok(paths) = paths(expression, &taken.document) {
            *expression = replaced(expression, &taken.document, &paths, |names| taken.column(names));
        }
    }
    if let Some(columns) = &mut settings.columns
        && let Some(at) = columns.iter().position(|column| column.name == taken.document)
    {
        let text = |field: &TakenField| Column { name: field.column.clone(), sql_type: "text".to_owned() };
        columns.splice(at + 1..at + 1, taken.fields.iter().map(text));
    }
}

impl Taken {
    fn column(&self, names: &[String]) -> Ident {
        let field = self.fields.iter().find(|field| field.path == names);
        field.map_or_else(|| column(&self.document, names), |field| field.column.clone())
    }

    /// The paths as SQL writes them.
    pub fn written(&self) -> impl Iterator<Item = String> {
        self.fields.iter().map(|field| Path::written(&self.document, &field.path))
    }
}

fn shown(sql: &str) -> String {
    crate::line::excerpt(&sql.split_whitespace().collect::<Vec<_>>().join(" "), 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::greenplum::{Mapping, Match};
    use crate::table::TableName;

    fn settings(mappings: &[&str]) -> Settings {
        let target = TableName { schema: Ident::exact("public"), table: Ident::exact("t") };
        let mut settings = Settings::new("", 0, "", "", target);
        let column = |name: &str, sql_type: &str| Column { name: Ident::exact(name), sql_type: sql_type.to_owned() };
        settings.columns = Some(vec![column("doc", "json"), column("k", "text")]);
        settings.documents = vec![Ident::exact("doc")];
        let mapping = |expression: &&str| Mapping { column: Ident::exact("c"), expression: (*expression).to_owned() };
        settings.outputs[0].mapping = mappings.iter().map(mapping).collect();
        settings
    }

    #[test]
    fn each_path_is_a_column_once() {
        let mut settings = settings(&["(doc->>'id')::bigint", "k", "doc->'a'->>'b'"]);
        settings.input_filter = Some("doc->>'id' <> ''".to_owned());
        let condition = Some("ext.doc->>'op' = 'D'".to_owned());
        settings.outputs[0].mode = Mode::Merge(Match { delete_condition: condition, ..Match::default() });
        let (settings, documents) = take_apart(&settings);
        let columns: Vec<_> = settings.columns.iter().flatten().map(|column| column.name.as_str()).collect();
        assert_eq!(columns, ["doc", "doc->>'id'", "doc->'a'->>'b'", "doc->>'op'", "k"]);
        assert_eq!(documents.taken[0].fields[1].path, ["a", "b"]);
        assert!(documents.left.is_empty());
        assert_eq!(
            settings.outputs[0].mapping[0].expression,
            r#"((CASE WHEN "doc" IS NULL THEN "doc->>'id'" ELSE doc->>'id' END))::bigint"#
        );
        let Mode::Merge(wanted) = &settings.outputs[0].mode else { panic!() };
        let expected = r#"(CASE WHEN ext."doc" IS NULL THEN ext."doc->>'op'" ELSE ext.doc->>'op' END) = 'D'"#;
        assert_eq!(wanted.delete_condition.as_deref(), Some(expected));
    }

    #[test]
    fn a_document_stays_whole_for_a_reason() {
        let why = |before: Settings| {
            let (settings, documents) = take_apart(&before);
            assert_eq!((before.columns, before.outputs), (settings.columns, settings.outputs));
            documents.left.into_iter().next().map(|left| left.why).unwrap_or_default()
        };
        assert_eq!(why(settings(&["k"])), "");
        assert_eq!(why(settings(&[])), "it is loaded as a column");
        assert_eq!(why(settings(&["doc->>'a'", "doc"])), "doc is no path to a text");
        assert_eq!(why(settings(&["doc->>'1'"])), "'1' in doc->>'1'");
        assert_eq!(
            why(settings(&["(SELECT (doc->>'a'))"])),
            "a subquery could have a column of its name: (SELECT (doc->>'a'))"
        );
        assert_eq!(why(settings(&["doc->>'a'", "row_to_json(ext)"])), "ext is the whole row in row_to_json(ext)");
        assert!(why(settings(&["doc->>'a' IS NULL"])).starts_with("doc->>'a' wants parentheses around it"));
        let mut binary = settings(&["doc->>'a'"]);
        binary.columns.iter_mut().flatten().for_each(|column| column.sql_type = "jsonb".to_owned());
        binary.documents.clear();
        assert!(why(binary).starts_with("jsonb writes"));
        let kept = Settings { failing: Failing::Recover, ..settings(&["doc->>'a'"]) };
        assert_eq!(why(kept), "failing batches are kept with whole documents");
    }

    #[test]
    fn a_long_path_has_a_name_that_fits() {
        let names = ["x".repeat(70)];
        let column = column(&Ident::exact("doc"), &names);
        assert!(column.as_str().starts_with("path_") && column.as_str().len() <= NAME_BYTES_MAX);
    }
}
