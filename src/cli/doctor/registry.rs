//! The check of the schema registry, where the job has one: whether it answers, and whether the newest schema of the topic
//! has what the columns want. Which schema a record names only that record knows; records are tried by `kafka.rs`.

use super::super::Exit;
use super::super::init::shape;
use super::Case;
use super::database::Database;
use super::report::{Check, Report, Verdict};
use crate::config::Content;
use crate::job::run;
use crate::registry::{Error, Registry};
use crate::schema::{Schema, SchemaKind};

const NAME: &str = "registry";

pub fn examine(case: &Case, _: &mut Database, report: &mut Report) -> Result<(), Exit> {
    let job = &case.job;
    let [key, value] = match run::registries(job) {
        Ok(registries) => registries,
        Err(error) => return report.add(Check::failed(NAME, error)),
    };
    if key.is_none() && value.is_none() {
        return Ok(());
    }
    let mut check = Check::new(NAME);
    for (registry, part, content) in [(value, "value", &job.value), (key, "key", &job.key)] {
        if let (Some(registry), Some(content)) = (registry, content) {
            of_subject(&mut check, &registry, &format!("{}-{part}", job.source.topic), content);
        }
    }
    report.add(check)
}

fn of_subject(check: &mut Check, registry: &Registry, subject: &str, content: &Content) {
    match registry.latest(subject) {
        Ok((id, schema)) => {
            check.say(Verdict::Ok, format!("subject {subject} has schema {id} as its newest"));
            let missing = missing(&schema, content);
            if !missing.is_empty() {
                let text = format!("that schema has no field {} for columns of the file", missing.join(", "));
                check.say(Verdict::Warning, text);
                check.advise("correct NAME or PATH of these columns: NULL is loaded where a record has no such field");
            }
        }
        // registries may name subjects otherwise
        Err(Error::NotFound { .. }) => check.say(Verdict::Ok, format!("it answers, and has no subject {subject}")),
        Err(error) => {
            let Check { found, advice, .. } = Check::failed(NAME, error);
            found.into_iter().for_each(|text| check.say(Verdict::Failed, text));
            advice.into_iter().for_each(|text| check.advise(text));
            check.advise("check the registry's address in the file, and that it runs");
        }
    }
}

/// Fields that columns are to be filled from and that a schema does not have. Avro alone is understood.
fn missing(schema: &Schema, content: &Content) -> Vec<String> {
    let fields = (schema.kind == SchemaKind::Avro).then(|| shape::of_avro(&schema.text)).flatten();
    let (Some(fields), Some(columns)) = (fields, &content.columns) else { return Vec::new() };
    let is_document = columns.len() == 1 && columns[0].path.is_none();
    let wanted = columns.iter().filter(|_| !is_document).filter_map(|column| {
        let name = column.name.as_ref()?.as_str();
        Some(column.path.as_ref().and_then(|path| path.first()).map_or(name, String::as_str))
    });
    wanted.filter(|wanted| !fields.iter().any(|(name, _)| name == wanted)).map(str::to_owned).collect()
}
