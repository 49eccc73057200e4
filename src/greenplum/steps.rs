//! Running a batch's statements one after the other, and counting what they do.

use super::connection::Connection;
use super::failure::Error;
use super::step::{Act, Step, Written};

/// Runs statements that bring rows into their targets, `written.read` of them, and notes what they did.
pub(super) fn run_all(
    connection: &mut Connection,
    steps: &[(Option<usize>, Step)],
    written: &mut Written,
) -> Result<(), Error> {
    for (output, step) in steps {
        if written.read == 0 {
            // all were refused or filtered: no target needs to be locked for nothing
            return Ok(());
        }
        let is_settled = output.is_none_or(|output| !written.outputs[output].has_several_partitions);
        if step.act == Act::Settle && is_settled {
            continue;
        }
        let rows = run(connection, step)?;
        match output {
            Some(output) => written.outputs[*output].note(step.act, rows, written.read),
            None if step.act == Act::Sift => written.read = written.read.saturating_sub(rows),
            None => {}
        }
    }
    Ok(())
}

/// One statement's count of rows.
fn run(connection: &mut Connection, Step { act, statement }: &Step) -> Result<u64, Error> {
    if *act == Act::LookForRivals {
        let counted = connection.query_one(statement.doing(), statement.sql(), &[])?;
        return Ok(counted.get::<_, i64>(0).unsigned_abs());
    }
    connection.execute(statement.doing(), statement.sql(), &[])
}
