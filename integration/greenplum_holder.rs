//! Who holds a job, against real servers: the living are left alone, the silent lose their sessions.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use gpkafka::greenplum::{Claim, Error, Holder};

use crate::greenplum_place::{Place, expect_claimed, loader};
use crate::harness::{on_each_database, unique, wait_until};

on_each_database! {
    fn a_claim_without_a_rival_does_not_wait(db) {
        let place = Place::new(db, "a int");
        let (mut first, mut second) = (place.holder(&loader()), place.holder(&loader()));
        let start = Instant::now();
        assert!(expect_claimed(first.claim(&[0, 1]).unwrap()).is_empty());
        assert!(expect_claimed(first.claim(&[0, 1, 2]).unwrap()).is_empty());
        assert!(expect_claimed(second.claim(&[3]).unwrap()).is_empty());
        drop(first);
        wait_until(Duration::from_secs(5), "the claim of a loader that went", || {
            matches!(second.claim(&[0, 1, 2]), Ok(Claim::Claimed { .. }))
        });
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
        second.beat().unwrap();
    }

    fn who_acts_is_left_alone_and_named(db) {
        let place = Place::new(db, "a int");
        let me = loader();
        let mut holder = place.holder(&me);
        expect_claimed(holder.claim(&[0, 1]).unwrap());
        let mut rival = place.holder(&loader());
        let (start, is_done) = (Instant::now(), AtomicBool::new(false));
        let claim = std::thread::scope(|scope| {
            scope.spawn(|| beat_until(&mut holder, &is_done));
            let claim = rival.claim(&[1, 2]).unwrap();
            is_done.store(true, Ordering::SeqCst);
            claim
        });
        let Claim::Held(held) = claim else { panic!("{claim:?}") };
        assert!(start.elapsed() < Duration::from_secs(6), "took {:?}", start.elapsed());
        assert_eq!((held.partition, held.role.as_str()), (1, db.user.as_str()));
        assert_eq!(held.application_name, place.job.application_name(&me.instance));
        assert!(held.silent.is_some() && held.since.is_some());
        // none of the others was kept
        expect_claimed(place.holder(&loader()).claim(&[2]).unwrap());
    }

    fn who_is_silent_loses_its_sessions(db) {
        let place = Place::new(db, "a int");
        let me = loader();
        let mut frozen = place.holder(&me);
        expect_claimed(frozen.claim(&[0]).unwrap());
        let mut loading = db.connect();
        become_session(&mut loading, &place, &me);
        loading.batch_execute(&format!("BEGIN; LOCK TABLE {}.t IN ROW EXCLUSIVE MODE", place.schema)).unwrap();
        let mut successor = place.holder(&loader());
        let start = Instant::now();
        let ended = expect_claimed(successor.claim(&[0]).unwrap());
        assert_eq!(ended, [place.job.application_name(&me.instance)]);
        let took = start.elapsed();
        assert!(took > Duration::from_secs(10) && took < Duration::from_secs(30), "took {took:?}");
        let error = frozen.beat().unwrap_err();
        assert!(matches!(error, Error::HolderLost { .. }) && error.is_passing(), "{error}");
        assert!(loading.batch_execute("SELECT 1").is_err(), "its load's session went too");
    }

    fn a_dead_loaders_transaction_is_ended_and_a_living_ones_is_not(db) {
        let place = Place::new(db, "a int");
        let (dead, alive) = (loader(), loader());
        let mut dead_holder = place.holder(&dead);
        expect_claimed(dead_holder.claim(&[0]).unwrap());
        let mut alive_holder = place.holder(&alive);
        expect_claimed(alive_holder.claim(&[5]).unwrap());
        let mut sessions = [&dead, &alive].map(|loader| {
            let mut session = db.connect();
            become_session(&mut session, &place, loader);
            session.batch_execute(&format!("BEGIN; LOCK TABLE {}.t IN ROW EXCLUSIVE MODE", place.schema)).unwrap();
            session
        });
        drop(dead_holder);
        let mut successor = place.holder(&loader());
        wait_until(Duration::from_secs(5), "the dead loader's lock to go", || {
            matches!(successor.claim(&[0]), Ok(Claim::Claimed { ended }) if ended == [place.job.application_name(&dead.instance)])
        });
        assert!(sessions[0].batch_execute("SELECT 1").is_err());
        sessions[1].batch_execute("SELECT 1").unwrap();
        alive_holder.beat().unwrap();
    }

    fn the_next_attempt_of_a_loader_ends_what_its_last_one_left(db) {
        let place = Place::new(db, "a int");
        let me = loader();
        let mut last = place.holder(&me);
        expect_claimed(last.claim(&[0]).unwrap());
        let mut loading = db.connect();
        become_session(&mut loading, &place, &me);
        loading.batch_execute(&format!("BEGIN; LOCK TABLE {}.t IN ROW EXCLUSIVE MODE", place.schema)).unwrap();
        let start = Instant::now();
        let mut next = place.holder(&me);
        expect_claimed(next.claim(&[0]).unwrap());
        assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
        assert!(last.beat().is_err() && loading.batch_execute("SELECT 1").is_err());
        // a later claim on the same session spares the load that runs by then
        let mut loading = db.connect();
        become_session(&mut loading, &place, &me);
        loading.batch_execute(&format!("BEGIN; LOCK TABLE {}.t IN ROW EXCLUSIVE MODE", place.schema)).unwrap();
        expect_claimed(next.claim(&[1]).unwrap());
        loading.batch_execute("SELECT 1").unwrap();
    }

    fn another_role_is_told_what_an_administrator_can_do(db) {
        let place = Place::new(db, "a int");
        let roles = [unique("holder"), unique("claimant")];
        let open = |role: &String| {
            db.execute(&format!("CREATE ROLE {role} LOGIN"));
            let mut settings = place.settings.clone();
            settings.user = role.clone();
            Holder::open(&settings, &place.job, &loader().instance).unwrap()
        };
        let [mut holder, mut claimant] = roles.each_ref().map(open);
        expect_claimed(holder.claim(&[0]).unwrap());
        let error = claimant.claim(&[0]).unwrap_err();
        let Error::OtherRole { held } = &error else { panic!("{error}") };
        assert_eq!(held.role, roles[0]);
        let advice = format!("have an administrator run: SELECT pg_terminate_backend({})", held.pid);
        assert!(error.to_string().contains(&advice), "{error}");
    }

    fn a_lock_that_is_no_loaders_is_never_ended(db) {
        let place = Place::new(db, "a int");
        let key = u32::from_str_radix(&place.job.hash()[..8], 16).unwrap().cast_signed();
        let mut stranger = db.connect();
        stranger.batch_execute(&format!("SELECT pg_advisory_lock({key}, 0)")).unwrap();
        let claim = place.holder(&loader()).claim(&[0]).unwrap();
        assert!(matches!(&claim, Claim::Held(held) if held.application_name == "gpkafka tests"), "{claim:?}");
        stranger.batch_execute("SELECT 1").unwrap();
    }
}

fn beat_until(holder: &mut Holder, is_done: &AtomicBool) {
    while !is_done.load(Ordering::SeqCst) {
        holder.beat().unwrap();
        // as a loader does, only somewhat quicker
        std::thread::park_timeout(Duration::from_secs(1));
    }
}

/// Takes the name that every session of a loader bears.
fn become_session(session: &mut postgres::Client, place: &Place<'_>, loader: &gpkafka::greenplum::Loader) {
    let name = place.job.application_name(&loader.instance);
    session.batch_execute(&format!("SET application_name = '{name}'")).unwrap();
}
