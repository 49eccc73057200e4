//! A job tried without a load, for `dryrun --connect` and `doctor`: what its newest records would become, and where its
//! ledger says it is.

use std::collections::BTreeMap;

use super::sample;
use super::trial::Trial;
use crate::config::Job;
use crate::decode::{self, Part};
use crate::greenplum::{self, Chain, Connection, Ledger, Settings};
use crate::job::failure::Error;
use crate::job::run;
use crate::kafka::{Consumer, Watermarks};

/// Records that are tried: enough to see a slip by, and few enough to be no wait.
const RECORDS_MAX: u32 = 100;

/// The newest records of a topic, decoded.
pub struct Tried {
    pub trial: Trial,
    /// Why a partition could not be read, where that does not pass.
    pub unread: Option<String>,
}

/// Decodes the newest records as a load would, schemas of a registry included. `None`: a TRANSFORMER would see them
/// first.
///
/// # Errors
/// What brokers or registry say.
pub fn newest(
    job: &Job,
    consumer: &Consumer,
    watermarks: &BTreeMap<i32, Watermarks>,
    mut decoding: decode::Settings,
) -> Result<Option<Tried>, Error> {
    if job.transformer.is_some() {
        return Ok(None);
    }
    decoding.meta.clear();
    let sample = sample::newest(consumer, watermarks, RECORDS_MAX)?;
    let [key, value] = run::registries(job)?;
    let schema = |part: Part, id: u32| {
        let registry = if part == Part::Key { &key } else { &value };
        match registry.as_ref().map(|registry| registry.schema(id)) {
            Some(Ok(schema)) => Ok(Ok(schema)),
            Some(Err(error)) if error.is_of_schema() => Ok(Err(error.to_string())),
            Some(Err(error)) => Err(Error::Registry(error)),
            None => Ok(Err(format!("no schema registry is configured for the {part}"))),
        }
    };
    let trial = Trial::of(&decoding, sample.records(), schema)?;
    Ok(Some(Tried { trial, unread: sample.unread }))
}

/// What the ledger says, without making one.
///
/// # Errors
/// It may not be read, or the job's history is in another one.
pub fn history(job: &Job, settings: &Settings, connection: &mut Connection) -> Result<Chain, greenplum::Error> {
    let id = run::identity(job);
    let metadata = settings.metadata_schema();
    let chain = match Ledger::find(connection, metadata)? {
        Some(ledger) => ledger.read(connection, &id)?,
        None => Chain::default(),
    };
    if chain.is_empty() {
        Ledger::require_no_other(connection, metadata, &id)?;
    }
    Ok(chain)
}
