//! What the ledger says, against the rows of a target that keeps where they come from: as many are there as came through,
//! each of an offset that was read, none twice. Pure: what to count, and what the counts mean.
//!
//! | what cannot be known | why |
//! |---|---|
//! | rows of offsets before the first commit that is kept, or before a reset | nothing says what they were |
//! | of which partition a filter's rows are | the database counts them by batch: then all partitions are one sum |
//! | whether a row is there twice, where records make several | the table has no number of the row in its record |
//! | how many dead letters were loaded later | a replay leaves no word in the ledger |

use std::collections::BTreeMap;

use super::{Findings, Part};
use crate::config::{Failing, Format, Job, Mode, Output};
use crate::decode::MetaField;
use crate::greenplum::{Account, Place, Seen, Stretch};
use crate::units::counted;

/// Stretches behind all that was ever read have this number; the others count from 0.
const BEYOND: i64 = -1;

/// A target whose rows can be counted, and what their count must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    pub place: Place,
    /// Rows may be dropped on the way from the stage to this target, which the ledger does not count.
    pub may_lack: bool,
    /// A record may make no row, so that one that makes two does not show in the sums.
    pub may_be_empty: bool,
    /// What was refused may have been loaded since.
    pub may_follow: bool,
}

/// The targets of a job that can be counted; of the others, why not.
pub fn terms(job: &Job) -> Vec<Result<Terms, String>> {
    job.outputs.iter().map(|output| terms_of(job, output)).collect()
}

fn terms_of(job: &Job, output: &Output) -> Result<Terms, String> {
    let no = |why: &str| Err(format!("the rows of {}: {why}", output.target));
    if output.mode != Mode::Insert {
        return no("MODE changes rows that are there, so that they are not the topic's one by one");
    }
    if output.transformer.is_some() {
        return no("a function makes them, and may make any number");
    }
    let column = |field: MetaField| job.meta.iter().find(|column| column.field == field).map(|column| &column.name);
    let topic = column(MetaField::Topic).map(|name| (name, job.source.topic.as_str()));
    let place = column(MetaField::Partition).zip(column(MetaField::Offset));
    let place = place.and_then(|(partition, offset)| Place::of(output, [partition, offset], topic));
    let Some(place) = place else {
        return no("no columns of it hold META's partition and offset as they are");
    };
    let keeps_aside = job.dead_letters.is_some() || job.commit.failing != Failing::Fail;
    Ok(Terms {
        place,
        may_lack: output.filter.is_some() && (job.outputs.len() > 1 || keeps_aside),
        may_be_empty: job.value.as_ref().is_some_and(|value| matches!(value.format, Format::Jsonl { .. })),
        may_follow: keeps_aside,
    })
}

/// What is to be counted, by partition: what was read since its last reset, and what lies behind all that ever was.
pub fn stretches(parts: &BTreeMap<i32, Part>) -> Vec<Stretch> {
    let mut stretches = Vec::new();
    for (&partition, part) in parts {
        let read = part.stretches.iter().zip(0..);
        stretches.extend(read.map(|(&(first, next), at)| Stretch { at, partition, first, next }));
        stretches.push(Stretch { at: BEYOND, partition, first: part.furthest, next: i64::MAX });
    }
    stretches
}

/// What the counts of [`stretches`] mean.
pub fn judge(terms: &Terms, parts: &BTreeMap<i32, Part>, seen: &[Seen], findings: &mut Findings) {
    let judge = Judge { terms, target: terms.place.target.to_string() };
    let mut holds = true;
    for found in seen {
        match judge.outside(parts, found) {
            None => {}
            Some(Ok(line)) => findings.unproved.push(line),
            Some(Err(line)) => {
                findings.wrong(line);
                holds = false;
            }
        }
    }
    let sums: Vec<(i32, &Part, Sum)> =
        parts.iter().map(|(&partition, part)| (partition, part, Sum::of(partition, seen))).collect();
    let (mut all, mut life) = (Sum::default(), Account::default());
    for (partition, part, sum) in &sums {
        holds &= judge.offsets(*partition, part, sum, findings);
        all.add(sum);
        life += part.life;
    }
    if life.filtered == 0 && life.rows.is_some() {
        for (partition, part, sum) in &sums {
            let of = format!("partition {partition}: ");
            holds &= judge.counts(&of, &part.life, part.resets > 0, sum, findings);
        }
    } else if parts.values().all(Part::is_whole) {
        holds &= judge.counts("", &life, false, &all, findings);
    } else {
        holds = false;
        findings.unproved.push(format!(
            "how many rows are to be in {}: what a filter drops is counted by batch, and of some batches not all is kept",
            judge.target
        ));
    }
    if holds {
        findings.proved.push(judge.proved(&life, &all));
    }
}

/// Rows of what was read.
#[derive(Debug, Default)]
struct Sum {
    rows: i64,
    offsets: i64,
    repeated: i64,
    first_repeated: Option<i64>,
}

impl Sum {
    fn of(partition: i32, seen: &[Seen]) -> Self {
        let mut sum = Self::default();
        let is_read = |found: &&Seen| found.partition == Some(partition.into()) && found.at.is_some_and(|at| at >= 0);
        for found in seen.iter().filter(is_read) {
            let Seen { rows, offsets, repeated, first_repeated, .. } = *found;
            sum.add(&Self { rows, offsets, repeated, first_repeated });
        }
        sum
    }

    fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.offsets += other.offsets;
        self.repeated += other.repeated;
        self.first_repeated = self.first_repeated.into_iter().chain(other.first_repeated).min();
    }
}

struct Judge<'a> {
    terms: &'a Terms,
    target: String,
}

impl Judge<'_> {
    /// Rows of nothing that the ledger knows: `Ok` where that says nothing.
    fn outside(&self, parts: &BTreeMap<i32, Part>, found: &Seen) -> Option<Result<String, String>> {
        let rows = counted(found.rows.unsigned_abs(), "row");
        let (Some(partition), Some(lowest), Some(highest)) = (found.partition, found.lowest, found.highest) else {
            return Some(Ok(format!("{rows} of {} that have no partition or no offset", self.target)));
        };
        let of = if lowest == highest { format!("offset {lowest}") } else { format!("offsets {lowest} to {highest}") };
        let Some(part) = i32::try_from(partition).ok().and_then(|partition| parts.get(&partition)) else {
            let (target, text) = (&self.target, "of which nothing was ever committed");
            return Some(Err(format!("partition {partition}: {rows} of it in {target}, {text}")));
        };
        let head = format!("partition {partition}: {rows} of {of} in {}", self.target);
        match found.at {
            Some(BEYOND) => Some(Err(format!("{head}, and the ledger ends at {}", part.next))),
            Some(_) => None,
            None if part.is_whole() && !part.begins_by_reset => {
                Some(Err(format!("{head}, and no commit has read there")))
            }
            None => Some(Ok(format!("{head}: from before the commits that are kept, or before the last reset"))),
        }
    }

    /// No offset has rows that made none, or more rows than it made. Whether that holds.
    fn offsets(&self, partition: i32, part: &Part, sum: &Sum, findings: &mut Findings) -> bool {
        let (account, target) = (&part.life, &self.target);
        let late_max = if self.terms.may_follow { account.refused } else { 0 };
        if part.unaccounted == 0 && sum.offsets > account.decoded.saturating_add(late_max) {
            let (offsets, decoded) = (sum.offsets, account.decoded);
            let text =
                format!("partition {partition}: {offsets} offsets have rows in {target}, and {decoded} made any");
            findings.wrong(text);
            return false;
        }
        let Some(first) = sum.first_repeated.filter(|_| self.has_one_each(account)) else { return true };
        let offsets = counted(sum.repeated.unsigned_abs(), "offset");
        let head = format!("partition {partition}: {offsets} in {target} more than once, the first is {first}");
        match part.resets {
            0 => findings.wrong(head),
            _ => findings.unproved.push(format!("{head}: it may have been read before a reset too")),
        }
        false
    }

    /// Whether each record made one row, as far as can be known.
    fn has_one_each(&self, account: &Account) -> bool {
        account.rows == Some(account.decoded) && !self.terms.may_be_empty
    }

    /// As many rows as came through. Whether that holds.
    fn counts(&self, of: &str, account: &Account, was_reset: bool, sum: &Sum, findings: &mut Findings) -> bool {
        let (rows, inserted, refused) = (sum.rows, account.inserted, account.refused.saturating_add(account.rejected));
        let has = format!("{of}{} in {}, of {inserted} that came through", are(rows), self.target);
        let late_max = if self.has_one_each(account) { refused } else { i64::MAX };
        let (lacking, more) = (inserted - rows, rows - inserted);
        let unknown = if rows == inserted {
            return true;
        } else if lacking > 0 && self.terms.may_lack {
            Some(format!(
                "the other {lacking} may have been dropped by its own filter, which the ledger does not count"
            ))
        } else if more > 0 && self.terms.may_follow && refused > 0 && more <= late_max {
            Some(format!("{more} may be of the {refused} that were refused: of a replay the ledger has no word"))
        } else if more > 0 && was_reset {
            Some(format!("{more} may be from before a reset"))
        } else {
            None
        };
        match unknown {
            Some(why) => findings.unproved.push(format!("{has}: {why}")),
            None if lacking > 0 => findings.wrong(format!("{has}: {lacking} missing")),
            None => findings.wrong(format!("{has}: {more} too many")),
        }
        false
    }

    fn proved(&self, life: &Account, all: &Sum) -> String {
        let (target, rows) = (&self.target, counted(all.rows.unsigned_abs(), "row"));
        let head = format!("table {target}: {rows} of the {} that came through", life.inserted);
        match self.has_one_each(life) {
            true => format!("{head}, each of an offset that was read, none twice"),
            false => format!(
                "{head}, of {} that were read; that none is there twice and another missing cannot be told, since records make several rows",
                counted(all.offsets.unsigned_abs(), "offset")
            ),
        }
    }
}

fn are(rows: i64) -> String {
    format!("{} {}", counted(rows.unsigned_abs(), "row"), if rows == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use expect_test::{Expect, expect};

    use super::super::tests::{lines, load, moved, proved};
    use super::*;
    use crate::config::{Variables, parse};
    use crate::greenplum::{Kind, LedgerRow};
    use crate::table::{Ident, TableName};

    fn plain() -> Terms {
        let name = |name: &str| Ident::exact(name);
        let target = TableName { schema: name("s"), table: name("t") };
        let place = Place { target, partition: name("p"), offset: name("o"), topic: None };
        Terms { place, may_lack: false, may_be_empty: false, may_follow: false }
    }

    /// Rows with an offset each, of these.
    fn seen(partition: i64, at: Option<i64>, rows: i64, (lowest, highest): (i64, i64)) -> Seen {
        let (lowest, highest) = (Some(lowest), Some(highest));
        Seen { partition: Some(partition), at, rows, offsets: rows, lowest, highest, ..Seen::default() }
    }

    fn repeated(offset: i64, seen: Seen) -> Seen {
        Seen { offsets: seen.offsets - 1, repeated: 1, first_repeated: Some(offset), ..seen }
    }

    fn expect_told(terms: &Terms, rows: &[LedgerRow], found: &[Seen], expected: &Expect) {
        let (parts, chain) = proved(rows);
        assert_eq!(chain.wrong, [""; 0]);
        let mut findings = Findings::default();
        judge(terms, &parts, found, &mut findings);
        expected.assert_eq(&lines(&findings));
    }

    #[test]
    fn what_is_counted_is_what_was_read_since_the_last_reset_and_what_lies_behind() {
        let rows = [
            load(0, 1, 0),
            moved(0, 2, Kind::Skip, 10, 40),
            load(0, 3, 40),
            load(0, 4, 50),
            load(1, 1, 0),
            moved(1, 2, Kind::Reset, 10, 2),
        ];
        let shown = |it: Stretch| format!("{} [{}] {} {}", it.at, it.partition, it.first, it.next);
        let shown: Vec<_> = stretches(&proved(&rows).0).into_iter().map(shown).collect();
        let end = i64::MAX;
        assert_eq!(shown, ["0 [0] 0 10", "1 [0] 40 60", &format!("-1 [0] 60 {end}"), &format!("-1 [1] 10 {end}")]);
    }

    #[test]
    fn a_count_holds_or_says_by_how_much_not() {
        let rows = [load(0, 1, 0), load(1, 1, 0)];
        let good = [seen(0, Some(0), 7, (1, 9)), seen(1, Some(0), 7, (1, 9))];
        expect_told(
            &plain(),
            &rows,
            &good,
            &expect![[r#"
                + table "s"."t": 14 rows of the 14 that came through, each of an offset that was read, none twice
            "#]],
        );
        expect_told(
            &plain(),
            &rows,
            &[seen(0, Some(0), 6, (1, 9)), repeated(3, seen(1, Some(0), 8, (1, 9)))],
            &expect![[r#"
                ! partition 1: 1 offset in "s"."t" more than once, the first is 3
                ! partition 0: 6 rows are in "s"."t", of 7 that came through: 1 missing
                ! partition 1: 8 rows are in "s"."t", of 7 that came through: 1 too many
            "#]],
        );
        // one is missing and another twice
        expect_told(
            &plain(),
            &rows,
            &[good[0].clone(), repeated(3, good[1].clone())],
            &expect![[r#"
                ! partition 1: 1 offset in "s"."t" more than once, the first is 3
            "#]],
        );
        // as many as came through, of more records than became rows
        expect_told(
            &plain(),
            &rows[..1],
            &[seen(0, Some(0), 9, (1, 9))],
            &expect![[r#"
                ! partition 0: 9 offsets have rows in "s"."t", and 8 made any
                ! partition 0: 9 rows are in "s"."t", of 7 that came through: 2 too many
            "#]],
        );
    }

    #[test]
    fn rows_of_nothing_that_was_read_are_told() {
        let none = Seen { rows: 2, ..Seen::default() };
        let outside = [
            seen(0, None, 1, (20, 20)),
            seen(0, Some(BEYOND), 2, (60, 99)),
            seen(0, Some(0), 14, (1, 19)),
            seen(7, None, 1, (0, 0)),
            none,
        ];
        let mut rows = vec![load(0, 1, 0), load(0, 2, 10)];
        expect_told(
            &plain(),
            &rows,
            &outside,
            &expect![[r#"
                ! partition 0: 1 row of offset 20 in "s"."t", and no commit has read there
                ! partition 0: 2 rows of offsets 60 to 99 in "s"."t", and the ledger ends at 20
                ! partition 7: 1 row of it in "s"."t", of which nothing was ever committed
                ? 2 rows of "s"."t" that have no partition or no offset
            "#]],
        );
        rows.insert(0, moved(0, 1, Kind::Reset, 0, 0));
        (rows[1].seq, rows[2].seq) = (2, 3);
        expect_told(
            &plain(),
            &rows,
            &outside[..1],
            &expect![[r#"
                ! partition 0: 0 rows are in "s"."t", of 14 that came through: 14 missing
                ? partition 0: 1 row of offset 20 in "s"."t": from before the commits that are kept, or before the last reset
            "#]],
        );
        rows.insert(1, moved(0, 2, Kind::Reset, 0, 0));
        (rows[2].seq, rows[3].seq) = (3, 4);
        expect_told(
            &plain(),
            &rows,
            &[outside[0].clone(), repeated(5, seen(0, Some(0), 16, (0, 19)))],
            &expect![[r#"
                ? partition 0: 1 row of offset 20 in "s"."t": from before the commits that are kept, or before the last reset
                ? partition 0: 1 offset in "s"."t" more than once, the first is 5: it may have been read before a reset too
                ? partition 0: 16 rows are in "s"."t", of 14 that came through: 2 may be from before a reset
            "#]],
        );
    }

    #[test]
    fn a_filter_makes_one_sum_of_all_partitions_if_all_is_kept() {
        let mut rows = [load(0, 1, 0), load(1, 1, 0)];
        let account = rows[0].account.as_mut().unwrap();
        (account.inserted, account.filtered) = (5, 2);
        let found = [seen(0, Some(0), 6, (1, 9)), seen(1, Some(0), 6, (1, 9))];
        expect_told(
            &plain(),
            &rows,
            &found,
            &expect![[r#"
                + table "s"."t": 12 rows of the 12 that came through, each of an offset that was read, none twice
            "#]],
        );
        expect_told(
            &plain(),
            &rows,
            &found[..1],
            &expect![[r#"
                ! 6 rows are in "s"."t", of 12 that came through: 6 missing
            "#]],
        );
        let anew = [rows[0].clone(), moved(0, 2, Kind::Reset, 10, 0), LedgerRow { seq: 3, ..rows[0].clone() }];
        expect_told(
            &plain(),
            &anew,
            &found[..1],
            &expect![[r#"
                ? how many rows are to be in "s"."t": what a filter drops is counted by batch, and of some batches not all is kept
            "#]],
        );
    }

    #[test]
    fn what_the_ledger_has_no_word_of_is_no_fault() {
        let rows = [load(0, 1, 0)];
        let late = Terms { may_follow: true, ..plain() };
        expect_told(
            &late,
            &rows,
            &[seen(0, Some(0), 9, (0, 9))],
            &expect![[r#"
                ? partition 0: 9 rows are in "s"."t", of 7 that came through: 2 may be of the 2 that were refused: of a replay the ledger has no word
            "#]],
        );
        expect_told(
            &Terms { may_lack: true, ..plain() },
            &rows,
            &[seen(0, Some(0), 3, (1, 9))],
            &expect![[r#"
                ? partition 0: 3 rows are in "s"."t", of 7 that came through: the other 4 may have been dropped by its own filter, which the ledger does not count
            "#]],
        );
        expect_told(
            &Terms { may_be_empty: true, ..plain() },
            &rows,
            &[repeated(4, seen(0, Some(0), 7, (1, 9)))],
            &expect![[r#"
                + table "s"."t": 7 rows of the 7 that came through, of 6 offsets that were read; that none is there twice and another missing cannot be told, since records make several rows
            "#]],
        );
    }

    #[test]
    fn targets_that_can_be_counted_are_found_in_the_file() {
        let shown = |output: &str, meta: &str| {
            let text = format!(
                "DATABASE: d\nUSER: u\nHOST: h\nPORT: 5432\nVERSION: 2\nKAFKA:\n  INPUT:\n    SOURCE: {{BROKERS: 'b:1', TOPIC: x}}\n    \
                 VALUE: {{COLUMNS: [{{NAME: a, TYPE: int}}], FORMAT: csv}}\n{meta}  OUTPUT: {{SCHEMA: s, TABLE: t{output}}}\n  \
                 COMMIT: {{MINIMAL_INTERVAL: 1000}}\n"
            );
            let job = parse(Path::new("job.yaml"), text.into_bytes(), &Variables::new()).unwrap();
            match terms(&job).remove(0) {
                Err(why) => why,
                Ok(Terms { place, .. }) => {
                    format!("{} {} {:?}", place.partition, place.offset, place.topic.map(|it| it.1))
                }
            }
        };
        let meta = "    META: {COLUMNS: [{NAME: topic, TYPE: text}, {NAME: p, TYPE: int, FIELD: partition}, \
                    {NAME: o, TYPE: bigint, FIELD: offset}]}\n";
        let told = [
            shown("", meta),
            shown(", MAPPING: {x: p, y: O, z: a}", meta),
            shown(", MAPPING: {x: p, y: o + 1}", meta),
            shown("", "    META: {COLUMNS: [{NAME: meta, TYPE: json}]}\n"),
            shown("", ""),
            shown(", MODE: merge, MATCH_COLUMNS: [a], UPDATE_COLUMNS: [p], MAPPING: {a: a, p: p, o: o}", meta),
        ];
        expect![[r#"
            "p" "o" Some("x")
            "x" "y" None
            the rows of "s"."t": no columns of it hold META's partition and offset as they are
            the rows of "s"."t": no columns of it hold META's partition and offset as they are
            the rows of "s"."t": no columns of it hold META's partition and offset as they are
            the rows of "s"."t": MODE changes rows that are there, so that they are not the topic's one by one"#]]
        .assert_eq(&told.join("\n"));
    }
}
