//! What a load would make of some records: the decoder of a load says so. What the database thinks of the values is not
//! known here.

use std::ops::Range;
use std::sync::Arc;

use super::sample::Place;
use crate::decode::{self, Content, Format, Part};
use crate::record::Record;
use crate::row::Rows;
use crate::schema::Schema;
use crate::units;

/// Records that are no rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub count: usize,
    /// Of the first.
    pub place: Place,
    pub reason: String,
}

/// What became of the records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trial {
    pub records: usize,
    pub rows: usize,
    pub refused: Option<Refused>,
    pub empty: Vec<Empty>,
}

/// A column of value or key that no row has anything for. A slip in a name looks like that, and is no error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Empty {
    pub name: String,
    /// Where it was looked for; empty where the format has no names.
    pub path: Vec<String>,
    /// Rows that were looked at.
    pub rows: usize,
}

/// What each column has.
struct Columns {
    /// And whether some row has something for it.
    columns: Vec<(Empty, bool)>,
    /// Where a document and the texts that are wanted of it are.
    documents: Vec<Range<usize>>,
}

impl Columns {
    fn new<'a>(parts: impl Iterator<Item = &'a Content>) -> Self {
        let mut new = Self { columns: Vec::new(), documents: Vec::new() };
        for part in parts {
            let begin = new.columns.len();
            let has_names =
                matches!(part.format, Format::Json | Format::Jsonl { .. } | Format::Avro(_) | Format::Protobuf(_));
            let sent = part.columns.iter().filter(|column| !column.is_ignored);
            new.columns.extend(sent.map(|column| {
                let path = if has_names { column.path.clone() } else { Vec::new() };
                (Empty { name: column.name.clone(), path, rows: 0 }, false)
            }));
            if part.columns.len() > 1 && part.columns[0].path.is_empty() {
                new.documents.push(begin..new.columns.len());
            }
        }
        new
    }

    fn see<'r>(&mut self, row: impl Iterator<Item = Option<&'r [u8]>>) {
        let has: Vec<bool> = row.map(|field| field.is_some()).collect();
        let is_whole = |at: usize| {
            // the texts of a document that goes whole are the database's to find; of one that does not, it is NULL
            let document = self.documents.iter().find(|document| document.contains(&at));
            document.is_some_and(|document| at == document.start || has.get(document.start) == Some(&true))
        };
        let known: Vec<usize> = (0..self.columns.len().min(has.len())).filter(|&at| !is_whole(at)).collect();
        for at in known {
            let (column, is_filled) = &mut self.columns[at];
            column.rows += 1;
            *is_filled |= has[at];
        }
    }

    fn empty(self) -> Vec<Empty> {
        let empty = self.columns.into_iter().filter(|(column, is_filled)| column.rows > 0 && !is_filled);
        empty.map(|(column, _)| column).collect()
    }
}

impl Trial {
    /// Decodes every record as a load would. Schemas that records name by an id are asked for, each once; why there is
    /// none is the record's fault, or nothing can be said at all.
    ///
    /// # Errors
    /// What was said in place of a schema.
    pub fn of<'a, E>(
        settings: &decode::Settings,
        records: impl Iterator<Item = Record<'a>>,
        mut schema: impl FnMut(Part, u32) -> Result<Result<Arc<Schema>, String>, E>,
    ) -> Result<Self, E> {
        let mut decoder = decode::decoder(settings);
        let mut columns = Columns::new([&settings.value, &settings.key].into_iter().flatten());
        let (mut trial, mut rows) = (Self::default(), Rows::default());
        for record in records {
            trial.records += 1;
            rows.clear();
            let mut decoded = decoder.decode(&record, &mut rows);
            // keys and values may each want one
            while let Some((part, id)) = decoded.as_ref().err().and_then(decode::Reason::wanted_schema) {
                let found = schema(part, id)?;
                decoder.learn(part, id, found.as_deref().map_err(String::as_str));
                decoded = decoder.decode(&record, &mut rows);
            }
            trial.rows += rows.len();
            rows.iter().for_each(|row| columns.see(row));
            if let Err(reason) = decoded {
                let place = Place { partition: record.partition, offset: record.offset };
                let first = || Refused { count: 0, place, reason: reason.to_string() };
                trial.refused.get_or_insert_with(first).count += 1;
            }
        }
        if !settings.is_custom() {
            trial.empty = columns.empty();
        }
        Ok(trial)
    }

    /// What a user would want to know before a load.
    pub fn warnings(&self) -> Vec<String> {
        let refused = self.refused.as_ref().map(|Refused { count, place, reason }| {
            format!("{count} of them would be refused, {place} first: {reason}")
        });
        let empty = self.empty.iter().map(|Empty { name, path, rows }| {
            let rows = units::counted(*rows as u64, "row");
            match path[..] {
                [] => format!("column {name} is NULL in all of {rows}"),
                _ => format!("none of {rows} has a value at {}, for column {name}: is that its name?", path.join(".")),
            }
        });
        refused.into_iter().chain(empty).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Column, CsvOptions, Settings};

    fn empty(settings: &Settings, values: &[&str]) -> Vec<String> {
        let records = values.iter().map(|value| Record::new(0, 0, Some(value.as_bytes())));
        let none = |_, _| -> Result<_, ()> { unreachable!("no schema is wanted") };
        let trial = Trial::of(settings, records, none).unwrap();
        assert_eq!((trial.records, trial.refused), (values.len(), None));
        trial.empty.into_iter().map(|column| column.name).collect()
    }

    #[test]
    fn a_column_that_no_row_fills_is_named() {
        let columns = ["a", "b", "c"].map(Column::text).to_vec();
        let json = Settings::of_value(Format::Json, columns.clone());
        assert_eq!(empty(&json, &["{\"a\": 1, \"B\": 2}", "{\"c\": \"\", \"b\": null}"]), ["b"]);
        assert_eq!(empty(&json, &["{\"a\": 1, \"b\": 2}", "{\"c\": 3}"]), [""; 0]);
        assert_eq!(empty(&json, &[]), [""; 0]);
        let mut csv = Settings::of_value(Format::Csv(CsvOptions::default()), columns);
        assert_eq!(empty(&csv, &["1,,", "2,x,"]), ["c"]);
        csv.value.as_mut().unwrap().columns[1].is_ignored = true;
        assert_eq!(empty(&csv, &["1,x,", "2,x,"]), ["c"]);
    }

    #[test]
    fn a_document_that_is_taken_apart_is_meant_to_be() {
        let columns = vec![Column::document("d"), Column::text("a"), Column::text("b")];
        let settings = Settings::of_value(Format::Json, columns);
        assert_eq!(empty(&settings, &["{\"a\": 1}"]), ["b"]);
        let broken = "{\"a\": 1, \"b\": 2";
        assert_eq!(empty(&settings, &["{\"a\": 1}", broken]), ["b"]);
        assert_eq!(empty(&settings, &[broken]), [""; 0], "that one is the database's to read");
        assert_eq!(empty(&Settings::of_value(Format::Json, vec![Column::document("d")]), &["{}"]), [""; 0]);
    }
}
