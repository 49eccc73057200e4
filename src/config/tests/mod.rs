//! Whole files, right and wrong: what each means, and what is said about it.

mod convert;
mod dead_letter;
mod effects;
mod keys;
mod later;
mod right;
mod server;
mod shapes;
mod typos;
mod v3;
mod values;

use std::path::Path;

use expect_test::{Expect, expect};

use crate::config::{Job, Refusal, Variables, parse, render};

fn parsed(text: &str) -> Result<Job, Refusal> {
    parse(Path::new("orders.yaml"), text.as_bytes().to_vec(), &Variables::new())
}

/// A job in as few lines as it can have; `more` is for the places marked with names.
fn file(edits: &[(&str, &str)]) -> String {
    let mut text = "\
DATABASE: testdb
USER: gpadmin
HOST: mdw
PORT: 5432
VERSION: 2
KAFKA:
  INPUT:
    SOURCE:
      BROKERS: localhost:9092
      TOPIC: orders
    VALUE:
      COLUMNS:
        - NAME: id
          TYPE: int
      FORMAT: csv
  OUTPUT:
    TABLE: orders
  COMMIT:
    MINIMAL_INTERVAL: 2000
"
    .to_owned();
    for (from, to) in edits {
        assert!(text.contains(from), "{from} is not in the file");
        text = text.replacen(from, to, 1);
    }
    text
}

fn complaints(text: &str) -> String {
    match parsed(text) {
        Ok(job) => {
            let refusal = Refusal { path: "orders.yaml".into(), text: text.to_owned(), problems: job.warnings };
            format!("fine\n{}", render(&refusal, false, false))
        }
        Err(refusal) => render(&refusal, false, false),
    }
}

fn check(edits: &[(&str, &str)], expected: Expect) {
    expected.assert_eq(&complaints(&file(edits)));
}
