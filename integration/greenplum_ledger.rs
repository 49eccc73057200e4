//! The ledger and its fence, against real servers: whoever comes second is told so, whatever the order of events.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::Duration;

use gpkafka::greenplum::{Chain, Commit, Connection, Error, Kind, Ledger, Load, Loader, Move};

use crate::greenplum_place::{Place, batch, commit, loader};
use crate::harness::{SOON, on_each_database, wait_until};

on_each_database! {
    fn a_ledger_made_by_four_at_once_is_one(db) {
        let place = Place::new(db, "a int");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| place.ledger());
            }
        });
        let count = format!("SELECT count(*) FROM pg_class WHERE relname = 'gpkafka_ledger' AND relnamespace::regclass::text IS NOT NULL AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '{}')", place.schema);
        assert_eq!(db.number(&count), 1);
        assert!(place.ledger().read(&mut place.connect(), &place.job).unwrap().is_empty());
    }

    fn commits_are_a_chain_that_reads_back(db) {
        let place = Place::new(db, "a int");
        let (me, mut chain) = (loader(), Chain::default());
        commit(&place, &me, &mut chain, &batch(1, &[(0, 0, 10), (3, 5, 6)])).unwrap();
        commit(&place, &me, &mut chain, &batch(2, &[(0, 10, 12)])).unwrap();
        let skip = Commit { batch: 3, topic_id: None, moves: vec![Move::bare(3, Kind::Skip, 6, 90)] };
        commit(&place, &me, &mut chain, &skip).unwrap();
        let reset = Commit { batch: 4, topic_id: None, moves: vec![Move::bare(0, Kind::Reset, 12, 0)] };
        commit(&place, &me, &mut chain, &reset).unwrap();
        assert_eq!(place.rows_of(0), ["1|load|0|10", "2|load|10|12", "3|reset|12|0"]);
        assert_eq!(place.rows_of(3), ["1|load|5|6", "2|skip|6|90"]);
        let read = place.ledger().read(&mut place.connect(), &place.job).unwrap();
        assert_eq!(read, chain);
        // those that others have followed are held as well
        let (ledger, mut connection) = (place.ledger(), place.connect());
        let mut holds = |who: &Loader, batch| ledger.holds(&mut connection, &place.job, &who.instance, batch).unwrap();
        assert!((1..=4).all(|batch| holds(&me, batch)) && !holds(&me, 5) && !holds(&loader(), 4));
    }

    fn history_is_told_and_pruned(db) {
        let place = Place::new(db, "a int");
        let (me, mut chain) = (loader(), Chain::default());
        for number in 0..5 {
            commit(&place, &me, &mut chain, &batch(number, &[(0, number, number + 1), (1, number, number + 1)])).unwrap();
        }
        let (ledger, mut connection) = (place.ledger(), place.connect());
        let mut history = |all| ledger.history(&mut connection, &place.job, all).unwrap();
        assert_eq!(history(true).len(), 10);
        let latest = history(false);
        assert_eq!(latest.iter().map(|row| (row.partition, row.seq, row.next)).collect::<Vec<_>>(), [(0, 5, 5), (1, 5, 5)]);
        assert!(latest[0].started <= latest[0].ended);
        assert_eq!((latest[0].host.as_str(), latest[0].instance.as_str()), ("here", me.instance.as_str()));
        assert_eq!(ledger.prune(&mut place.connect(), &place.job, 2).unwrap(), 6);
        assert_eq!(place.rows_of(0), ["4|load|3|4", "5|load|4|5"]);
        assert_eq!(ledger.read(&mut place.connect(), &place.job).unwrap(), chain);
    }

    fn a_loader_that_knows_no_history_does_not_take_a_first_row_that_was_pruned(db) {
        let place = Place::new(db, "a int");
        let (me, mut chain) = (loader(), Chain::default());
        for number in 0..4 {
            commit(&place, &me, &mut chain, &batch(number, &[(0, number, number + 1)])).unwrap();
        }
        place.ledger().prune(&mut place.connect(), &place.job, 1).unwrap();
        let error = commit(&place, &loader(), &mut Chain::default(), &batch(9, &[(0, 0, 1)])).unwrap_err();
        assert!(matches!(error, Error::PositionTaken { partition: 0, seq: 1, is_own: false, .. }), "{error}");
        assert_eq!(place.rows_of(0), ["4|load|3|4"]);
    }

    fn a_history_in_the_ledger_of_another_schema_is_found(db) {
        let place = Place::new(db, "a int");
        commit(&place, &loader(), &mut Chain::default(), &batch(1, &[(0, 0, 5)])).unwrap();
        let other = db.schema("another");
        let connection = &mut place.connect();
        let schema = gpkafka::table::Ident::exact(&other);
        let empty = Ledger::ensure(connection, &schema).unwrap();
        let error = Ledger::require_no_other(connection, &schema, &place.job).unwrap_err().to_string();
        assert!(error.contains(&format!("is in \"{}\".\"gpkafka_ledger\", not in \"{other}\"", place.schema)), "{error}");
        let (_, rest) = error.split_once("or move it: ").unwrap();
        db.execute(rest.split_once("; nothing").unwrap().0);
        Ledger::require_no_other(connection, &schema, &place.job).unwrap();
        assert_eq!(empty.read(connection, &place.job).unwrap().get(0).unwrap().next, 5);
    }

    fn tables_of_the_ledgers_name_that_are_none_hinder_nobody(db) {
        let place = Place::new(db, "a int");
        let schema = db.schema("namesake");
        db.execute(&format!("CREATE TABLE {schema}.gpkafka_ledger (job int, note text)"));
        let mut other = db.connect();
        other.batch_execute("CREATE TEMPORARY TABLE gpkafka_ledger (job text)").unwrap();
        Ledger::require_no_other(&mut place.connect(), place.settings.metadata_schema(), &place.job).unwrap();
        other.batch_execute("DROP TABLE gpkafka_ledger").unwrap();
    }

    fn pruning_gives_way_to_a_lock(db) {
        let place = Place::new(db, "a int");
        commit(&place, &loader(), &mut Chain::default(), &batch(1, &[(0, 0, 1)])).unwrap();
        let mut other = db.connect();
        other.batch_execute(&format!("BEGIN; LOCK TABLE {}.gpkafka_ledger IN ACCESS EXCLUSIVE MODE", place.schema)).unwrap();
        let connection = &mut place.connect();
        // the name alone: looking at rights would not wait, but pruning does
        let ledger = Ledger::find(connection, place.settings.metadata_schema()).unwrap().unwrap();
        assert_eq!(ledger.prune(connection, &place.job, 1).unwrap(), 0);
    }

    fn the_second_of_two_waits_and_learns_who_was_first(db) {
        let place = Place::new(db, "a int");
        let (me, ledger) = (loader(), place.ledger());
        let mut rival = db.connect();
        rival.batch_execute(&rival_row(&place, 1, "BEGIN; ")).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| commit(&place, &me, &mut Chain::default(), &batch(1, &[(0, 0, 10)])));
            wait_until(Duration::from_secs(20), "our append to wait for the rival's", || is_waiting(&place));
            rival.batch_execute("COMMIT").unwrap();
            let error = waiter.join().unwrap().unwrap_err();
            let told = "position 1 of partition 0 was taken by loader rival (pid 7 on there), whose batch 9 ends at offset 7; nothing of this batch was loaded";
            assert_eq!(error.to_string(), told);
            assert!(!error.is_passing());
        });
        assert_eq!(place.rows_of(0), ["1|load|0|7"]);
        assert_eq!(ledger.read(&mut place.connect(), &place.job).unwrap().get(0).unwrap().next, 7);
    }

    fn the_second_of_two_goes_on_when_the_first_rolls_back(db) {
        let place = Place::new(db, "a int");
        let me = loader();
        place.ledger();
        let mut rival = db.connect();
        rival.batch_execute(&rival_row(&place, 1, "BEGIN; ")).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| commit(&place, &me, &mut Chain::default(), &batch(1, &[(0, 0, 10)])));
            wait_until(Duration::from_secs(20), "our append to wait for the rival's", || is_waiting(&place));
            rival.batch_execute("ROLLBACK").unwrap();
            waiter.join().unwrap().unwrap();
        });
        assert_eq!(place.rows_of(0), ["1|load|0|10"]);
    }

    fn a_batch_follows_only_the_row_that_its_loader_knows(db) {
        let place = Place::new(db, "a int");
        let (me, mut chain) = (loader(), Chain::default());
        commit(&place, &me, &mut chain, &batch(1, &[(0, 0, 10)])).unwrap();
        let ledger = format!("{}.gpkafka_ledger", place.schema);
        let before = chain.clone();
        // the row is another's now: same seq, other batch
        db.execute(&format!("UPDATE {ledger} SET instance = 'rival' WHERE job = '{}'", place.job.hash()));
        let error = commit(&place, &me, &mut chain, &batch(2, &[(0, 10, 20)])).unwrap_err();
        assert!(matches!(&error, Error::PositionTaken { partition: 0, seq: 1, by, .. } if by.contains("rival")), "{error}");
        // the row is gone: what we knew of was rolled back
        db.execute(&format!("DELETE FROM {ledger} WHERE job = '{}'", place.job.hash()));
        let error = commit(&place, &me, &mut chain, &batch(2, &[(0, 10, 20)])).unwrap_err();
        assert!(matches!(&error, Error::PositionTaken { partition: 0, seq: 1, by, .. } if by.contains("gone")), "{error}");
        assert_eq!(chain, before);
        assert_eq!(place.rows_of(0), Vec::<String>::new());
    }

    fn loaders_that_race_leave_one_chain_without_a_gap(db) {
        let place = Place::new(db, "a int");
        place.ledger();
        let won: Vec<usize> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..3).map(|racer| { let place = &place; scope.spawn(move || race(place, racer)) }).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let mut rows = 0;
        for partition in 0..4 {
            let chain = place.rows_of(partition);
            rows += chain.len();
            for (at, row) in chain.iter().enumerate() {
                let at = at as i64;
                assert_eq!(*row, format!("{}|load|{}|{}", at + 1, at * 10, at * 10 + 10));
            }
        }
        assert_eq!(rows, won.iter().sum::<usize>() * 4);
    }

    fn a_position_that_this_loader_took_itself_is_to_be_read_again(db) {
        let place = Place::new(db, "a int");
        let me = loader();
        commit(&place, &me, &mut Chain::default(), &batch(1, &[(0, 0, 10)])).unwrap();
        let error = commit(&place, &me, &mut Chain::default(), &batch(2, &[(0, 0, 10)])).unwrap_err();
        assert!(matches!(error, Error::PositionTaken { is_own: true, .. }) && error.is_passing(), "{error}");
    }

    fn a_commit_in_doubt_is_told_by_the_ledger(db) {
        let place = Place::new(db, "a int");
        for (is_forwarded, first) in [(true, 0), (false, 10)] {
            let me = loader();
            let proxy = Proxy::new(&place, is_forwarded);
            let mut chain = place.ledger().read(&mut place.connect(), &place.job).unwrap();
            let mut through = place.settings.clone();
            through.port = proxy.port;
            let mut cut = Connection::open(&through, &place.job.application_name(&me.instance)).unwrap();
            let pid = cut.pid();
            let commit = batch(7, &[(0, first, first + 10)]);
            let error = place.ledger().commit_alone(&mut cut, &place.job, &me, &mut chain, &commit).unwrap_err();
            assert!(matches!(error, Error::InDoubt { batch: 7, .. }), "{error}");
            assert!(error.is_passing() && cut.is_lost());
            let is_held =
                || place.ledger().holds(&mut place.connect(), &place.job, &me.instance, 7).unwrap();
            if is_forwarded {
                // else the session may be ended before it comes to the COMMIT that it was sent
                wait_until(SOON, "the commit to be done", is_held);
            }
            place.holder(&me).end_earlier(pid).unwrap();
            assert_eq!(is_held(), is_forwarded);
        }
        assert_eq!(place.rows_of(0), ["1|load|0|10"]);
    }
}

fn rival_row(place: &Place<'_>, seq: i64, begin: &str) -> String {
    format!(
        "{begin}INSERT INTO {}.gpkafka_ledger SELECT '{}', 0, {seq}, 'load', 0, 7, NULL, NULL, 9, 0, 0, 0, 0, now(), now(), 'rival', 'there', 7, 'x', 'x', 'x', 'x', 'x'",
        place.schema,
        place.job.hash()
    )
}

/// Whether a session of ours waits for a lock, on the coordinator or a segment.
fn is_waiting(place: &Place<'_>) -> bool {
    let sql = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
    place.db.number(sql) > 0
}

/// Commits ten batches over four partitions, each after reading what is there; counts those that won.
fn race(place: &Place<'_>, racer: usize) -> usize {
    let (me, ledger, mut connection) = (loader(), place.ledger(), place.connect());
    let mut won = 0;
    for number in 0..10 {
        let mut chain = ledger.read(&mut connection, &place.job).unwrap();
        let at = |partition| chain.get(partition).map_or(0, |last| last.next);
        let mut spans: Vec<_> = (0..4).map(|partition| (partition, at(partition), at(partition) + 10)).collect();
        // each racer names its partitions in another order: the statement sorts them
        spans.rotate_left(racer);
        match ledger.commit_alone(&mut connection, &place.job, &me, &mut chain, &batch(number, &spans)) {
            Ok(()) => won += 1,
            Err(Error::PositionTaken { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    won
}

/// Between a session and its server until the client says COMMIT: then the line is cut, with or without passing it on.
struct Proxy {
    port: u16,
}

impl Proxy {
    fn new(place: &Place<'_>, is_forwarded: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = (place.db.host.clone(), place.db.port);
        std::thread::Builder::new()
            .spawn(move || {
                // one after the other: a session knocks before it comes in
                for client in listener.incoming().take(2) {
                    let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                    let (back_from, back_to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                    std::thread::scope(|scope| {
                        scope.spawn(|| pass(&back_from, &back_to, None));
                        pass(&client, &server, Some(is_forwarded));
                    });
                }
            })
            .unwrap();
        Self { port }
    }
}

/// Copies until the end, or until COMMIT where that is watched for.
fn pass(mut from: &TcpStream, mut to: &TcpStream, watch: Option<bool>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let is_commit = bytes[..count].windows(7).any(|window| window == b"COMMIT\0");
        match watch {
            Some(is_forwarded) if is_commit => {
                // the client's side first: its reply must not come through
                from.shutdown(Shutdown::Both).unwrap();
                if is_forwarded {
                    to.write_all(&bytes[..count]).unwrap();
                    to.shutdown(Shutdown::Write).unwrap();
                }
                return;
            }
            _ if to.write_all(&bytes[..count]).is_err() => return,
            _ => {}
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

/// Compiled, never run: a load may go to a thread of its own.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Load>();
    is_send::<Loader>();
};
