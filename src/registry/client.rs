//! The registry as the rest sees it: several addresses, references followed, and what is known already.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::address::Address;
use super::answer::{Pointer, Told};
use super::error::Error;
use super::http::{ANSWER_BYTES_MAX, Http};
use super::settings::Settings;
use crate::line;
use crate::schema::{Reference, Schema, SchemaKind};

/// How deep references lead: schemas of people lead through a handful.
const DEPTH_MAX: usize = 64;

/// How many references a schema has, all together: the bound of what a registry can make us ask.
const REFERENCES_MAX: usize = 1000;

/// Characters of a subject's or a reference's name that are shown.
const NAME_MAX: usize = 200;

/// A schema registry, shared by all threads that decode.
///
/// # Drop
/// Ends the thread that the HTTP client keeps for its sockets.
pub struct Registry {
    http: Http,
    addresses: Vec<Address>,
    /// The address that worked last.
    first: AtomicUsize,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    known: HashMap<u32, Arc<Schema>>,
    /// What is being asked for: whoever comes second waits for the first.
    asked: HashMap<u32, Arc<OnceLock<Answer>>>,
}

type Answer = Result<Arc<Schema>, Error>;

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Registry {
    /// A client; nothing is asked of the registry yet.
    ///
    /// # Errors
    /// There is no address, one is none, or a file of TLS cannot be used.
    ///
    /// # Blocks
    /// For as long as the files take. Neither this nor anything else here may be called, or dropped, on a thread of
    /// tokio's.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let addresses: Vec<Address> =
            settings.urls.iter().map(|url| Address::new(url, settings)).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err(Error::Setting { cause: "no address is given".to_owned() });
        }
        let http = Http::new(settings)?;
        Ok(Self { http, addresses, first: AtomicUsize::new(0), memory: Mutex::default() })
    }

    /// The schema of an id, with all that it refers to. Known for ever once it is there; what went wrong is asked anew.
    ///
    /// # Errors
    /// See [`Error`]; threads that ask for one id at once get the same.
    ///
    /// # Blocks
    /// Up to the timeout for each address and each reference.
    pub fn schema(&self, id: u32) -> Answer {
        let asked = {
            let mut memory = self.memory();
            if let Some(schema) = memory.known.get(&id) {
                return Ok(Arc::clone(schema));
            }
            Arc::clone(memory.asked.entry(id).or_default())
        };
        let answer = asked.get_or_init(|| self.fetch(id).map(Arc::new));
        let mut memory = self.memory();
        if memory.asked.get(&id).is_some_and(|now| Arc::ptr_eq(now, &asked)) {
            memory.asked.remove(&id);
        }
        if let Ok(schema) = answer {
            memory.known.insert(id, Arc::clone(schema));
        }
        answer.clone()
    }

    /// The newest schema of a subject and its id. Not remembered: the next call may find a newer one.
    ///
    /// # Errors
    /// See [`Error`].
    ///
    /// # Blocks
    /// As [`Registry::schema`].
    pub fn latest(&self, subject: &str) -> Result<(u32, Schema), Error> {
        let what = format!("subject \"{}\"", line::excerpt(subject, NAME_MAX));
        let told = self.told(&["subjects", subject, "versions", "latest"], &[], &what)?;
        let id = told.id.ok_or_else(|| self.bad(&what, "names no id"))?;
        Ok((id, self.whole(&told, &what)?))
    }

    fn fetch(&self, id: u32) -> Result<Schema, Error> {
        let what = format!("schema {id}");
        let told = self.told(&["schemas", "ids", &id.to_string()], &[], &what)?;
        self.whole(&told, &what)
    }

    /// A schema and what it refers to.
    fn whole(&self, told: &Told, what: &str) -> Result<Schema, Error> {
        let kind = told.kind().map_err(|cause| self.bad(what, &cause))?;
        let mut gathering = Gathering {
            registry: self,
            what,
            kind,
            bytes: told.text.len(),
            states: BTreeMap::new(),
            found: Vec::new(),
        };
        gathering.follow(told, 0)?;
        Ok(Schema { kind, text: told.text.clone(), references: gathering.found })
    }

    fn told(&self, path: &[&str], query: &[(&str, &str)], what: &str) -> Result<Told, Error> {
        let body = self.get(path, query, what)?;
        Told::parse(&body).map_err(|cause| Error::BadAnswer { url: self.shown(), what: what.to_owned(), cause })
    }

    /// Asks address after address, until one has something to say that another would not say differently.
    fn get(&self, path: &[&str], query: &[(&str, &str)], what: &str) -> Result<Vec<u8>, Error> {
        let count = self.addresses.len();
        let first = self.first.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for at in (0..count).map(|step| (first + step) % count) {
            let answer = self.http.get(&self.addresses[at], path, query, what);
            match answer {
                Err(error @ (Error::Unreachable { .. } | Error::BadAnswer { .. })) => failures.push(error),
                answer => {
                    self.first.store(at, Ordering::Relaxed);
                    return answer;
                }
            }
        }
        Err(together(failures))
    }

    fn bad(&self, what: &str, cause: &str) -> Error {
        Error::BadSchema { url: self.shown(), what: what.to_owned(), cause: cause.to_owned() }
    }

    /// The address that has answered.
    fn shown(&self) -> String {
        let at = self.first.load(Ordering::Relaxed);
        self.addresses.get(at).map_or("", Address::shown).to_owned()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // nothing in it is ever half done
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What several addresses failed with, as one: it passes if one of them may.
fn together(mut failures: Vec<Error>) -> Error {
    if failures.len() > 1 && failures.iter().any(Error::is_passing) {
        let texts: Vec<String> = failures.iter().map(Error::to_string).collect();
        return Error::Unreachable { cause: texts.join("; ") };
    }
    failures.swap_remove(0)
}

/// References on their way into a list, each before those that need it.
struct Gathering<'a> {
    registry: &'a Registry,
    what: &'a str,
    kind: SchemaKind,
    /// Of all texts.
    bytes: usize,
    /// By name, as the language sees them: whether all that one leads to is in the list.
    states: BTreeMap<String, bool>,
    found: Vec<Reference>,
}

impl Gathering<'_> {
    fn follow(&mut self, told: &Told, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(self.bad(&format!("has references deeper than {DEPTH_MAX}")));
        }
        for pointer in told.references() {
            match self.states.get(&pointer.name) {
                Some(true) => continue,
                Some(false) => {
                    let name = line::excerpt(&pointer.name, NAME_MAX);
                    return Err(self.bad(&format!("has references in a circle, through \"{name}\"")));
                }
                None => self.take(pointer, depth)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, pointer: &Pointer, depth: usize) -> Result<(), Error> {
        if self.states.len() >= REFERENCES_MAX {
            return Err(self.bad(&format!("has more than {REFERENCES_MAX} references")));
        }
        self.states.insert(pointer.name.clone(), false);
        let Pointer { name, subject, version } = pointer;
        let shown = (line::excerpt(subject, NAME_MAX), line::excerpt(name, NAME_MAX));
        let what = format!("subject \"{}\" version {version}, which {} calls \"{}\"", shown.0, self.what, shown.1);
        // a reference outlives the deletion of what it leads to
        let path = ["subjects", subject, "versions", &version.to_string()];
        let told = self.registry.told(&path, &[("deleted", "true")], &what)?;
        self.bytes += told.text.len();
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(self.bad(&format!("has references of more than {} MiB", ANSWER_BYTES_MAX >> 20)));
        }
        let kind = told.kind().map_err(|cause| self.registry.bad(&what, &cause))?;
        if kind != self.kind {
            return Err(self.registry.bad(&what, "is of another kind than the schema that needs it"));
        }
        self.follow(&told, depth + 1)?;
        self.states.insert(name.clone(), true);
        self.found.push(Reference { name: name.clone(), text: told.text });
        Ok(())
    }

    fn bad(&self, cause: &str) -> Error {
        self.registry.bad(self.what, cause)
    }
}
