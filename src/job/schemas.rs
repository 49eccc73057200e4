//! Where a job's schemas come from: a registry for keys and one for values, asked on threads of their own, so that a
//! worker that waits for an answer still sees the wish to end.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::threads::apart;
use crate::decode::Part;
use crate::registry::{Error, Registry};
use crate::schema::Schema;

/// How long a registry that is in trouble is left alone: it may be starting, and all workers ask.
pub const ASK_AGAIN: Duration = Duration::from_secs(1);

type Ask = dyn Fn(u32) -> Result<Arc<Schema>, Error> + Send + Sync;

/// The registries of a job. Clones share them and what they know, from attempt to attempt.
#[derive(Clone, Default)]
pub struct Registries {
    key: Option<Arc<Ask>>,
    value: Option<Arc<Ask>>,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries").field("key", &self.key.is_some()).field("value", &self.value.is_some()).finish()
    }
}

impl Registries {
    /// One for each part that has schemas by id, keys first; both may be the same.
    pub fn new([key, value]: [Option<Arc<Registry>>; 2]) -> Self {
        let ask = |registry: Option<Arc<Registry>>| {
            registry.map(|registry| Arc::new(move |id| registry.schema(id)) as Arc<Ask>)
        };
        Self { key: ask(key), value: ask(value) }
    }

    /// Begins to ask for a schema.
    pub fn ask(&self, part: Part, id: u32) -> Asked {
        let registry = match part {
            Part::Key => self.key.clone(),
            Part::Value => self.value.clone(),
        };
        match registry {
            None => Asked::Answered(Answer::Never(format!("no schema registry is configured for the {part}"))),
            Some(ask) => match apart("registry", move || ask(id)) {
                Ok(answer) => Asked::Waiting(answer),
                Err(error) => Asked::Answered(Answer::Later(format!("asking the schema registry: {error}"))),
            },
        }
    }
}

/// What becomes of a wish for a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Schema(Arc<Schema>),
    /// There is none, or none that can be used: the records that name it are at fault.
    Never(String),
    /// The registry would answer like this whatever it is asked, until somebody changes something.
    Refused(String),
    /// The registry is in trouble; the same question may be answered later.
    Later(String),
}

/// A question under way.
#[derive(Debug)]
pub enum Asked {
    Answered(Answer),
    Waiting(Receiver<Result<Arc<Schema>, Error>>),
}

impl Asked {
    /// The answer, if it comes within `wait`.
    ///
    /// # Blocks
    /// Up to `wait`.
    pub fn wait(&self, wait: Duration) -> Option<Answer> {
        let answer = match self {
            Self::Answered(answer) => return Some(answer.clone()),
            Self::Waiting(answer) => answer.recv_timeout(wait),
        };
        match answer {
            Ok(Ok(schema)) => Some(Answer::Schema(schema)),
            Ok(Err(error)) if error.is_passing() => Some(Answer::Later(error.to_string())),
            Ok(Err(error)) if error.is_of_schema() => Some(Answer::Never(error.to_string())),
            Ok(Err(error)) => Some(Answer::Refused(error.to_string())),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                Some(Answer::Later("asking the schema registry ended without an answer".to_owned()))
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    impl Registries {
        /// Values have a registry that answers so.
        pub fn of_values(ask: impl Fn(u32) -> Result<Arc<Schema>, Error> + Send + Sync + 'static) -> Self {
            Self { key: None, value: Some(Arc::new(ask)) }
        }
    }

    /// Longer than any of these threads may take.
    const SOON: Duration = Duration::from_secs(60);

    #[test]
    fn a_part_without_a_registry_never_has_a_schema() {
        let registries = Registries::of_values(|_| panic!("nobody asks this one"));
        let answer = registries.ask(Part::Key, 7).wait(Duration::ZERO);
        assert_eq!(answer, Some(Answer::Never("no schema registry is configured for the key".to_owned())));
    }

    #[test]
    fn errors_that_pass_and_those_of_one_schema_are_told_apart() {
        let registries = Registries::of_values(|id| match id {
            1 => Err(Error::Unreachable { cause: "down".to_owned() }),
            3 => Err(Error::Setting { cause: "no".to_owned() }),
            id => Err(Error::NotFound { url: "http://r".to_owned(), what: format!("schema {id}") }),
        });
        let answer = |id| registries.ask(Part::Value, id).wait(SOON);
        assert_eq!(answer(1), Some(Answer::Later("down".to_owned())));
        assert_eq!(answer(2), Some(Answer::Never("schema registry http://r has no schema 2".to_owned())));
        assert_eq!(answer(3), Some(Answer::Refused("schema registry: no".to_owned())));
    }

    #[test]
    fn an_answer_that_is_not_there_yet_is_waited_for() {
        let (answer, of_test) = crossbeam_channel::bounded(0);
        let registries = Registries::of_values(move |_| of_test.recv().unwrap());
        let asked = registries.ask(Part::Value, 7);
        assert_eq!(asked.wait(Duration::from_millis(1)), None);
        let schema = Arc::new(Schema::alone(crate::schema::SchemaKind::Avro, "\"int\""));
        answer.send(Ok(Arc::clone(&schema))).unwrap();
        assert_eq!(asked.wait(SOON), Some(Answer::Schema(schema)));
    }
}
