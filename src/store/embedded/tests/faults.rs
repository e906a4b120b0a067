//! What the embedded store does when the disk, the power or we ourselves fail.

use std::fs;
use std::sync::mpsc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::{Rng, SeedableRng};
use rusqlite::Connection;

use super::super::recovery::{Checked, verify_within};
use super::super::schema::FILE;
use super::super::tx::Tx;
use super::*;
use crate::clock;
use crate::domain::ids::EventSeq;
use crate::store::archive::{Archive, Page};
use crate::store::{
    AcceptError, Accepted, Batch, Definitions, Filter, Health, NewEvent, Planned, Queue, conformance as c,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A webhook for the events of a test.
fn planned(store: &EmbeddedStore) -> Planned {
    let spec = c::spec("w", "http://a.example/");
    let webhook = block_on(store.write_webhook(c::write(None, spec), c::audit())).expect("written");
    Planned { webhook: webhook.id, endpoint: webhook.endpoint }
}

fn batch(store: &EmbeddedStore, plan: Planned, events: usize) -> Batch {
    let new = |n| NewEvent::planned(c::event(n as u8, "x"), vec![plan]);
    Batch { events: (0..events).map(new).collect(), catalog_revision: store.revision() }
}

fn accept(store: &EmbeddedStore, plan: Planned, events: usize) -> Result<Vec<Accepted>, AcceptError> {
    block_on(store.accept(batch(store, plan, events)))
}

fn events(store: &EmbeddedStore) -> usize {
    let page = Page::first(1_000);
    block_on(store.events(Filter::default(), page)).expect("listed").rows.len()
}

/// Holds the writer inside a transaction until the sender is dropped: what is sent meanwhile is one transaction.
fn hold(store: &EmbeddedStore) -> (mpsc::Sender<()>, BoxFuture<'static, Result<(), StoreError>>) {
    let (go, wait) = mpsc::channel();
    let held = store.shared.write(
        move |_| {
            let _ = wait.recv();
            Ok(())
        },
        |()| (),
    );
    (go, held.boxed())
}

/// Writes until the database may not grow any more.
fn fill(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let pages: i64 = tx.db.query_row("PRAGMA page_count", [], |r| r.get(0)).map_err(|e| tx.error(e))?;
    tx.db.execute_batch(&format!("PRAGMA max_page_count = {pages}")).map_err(|e| tx.error(e))?;
    let text = "x".repeat(10_000);
    loop {
        tx.db
            .execute("INSERT INTO audit(time, actor, action, target, detail) VALUES(0, '', '', '', ?1)", [&text])
            .map_err(|e| tx.error(e))?;
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = clock::now() + PATIENCE;
    while !condition() {
        assert!(clock::now() < end, "still waiting until {what}");
    }
}

/// On a full disk SQLite undoes the whole transaction and would commit each further statement by itself.
#[test]
fn a_disk_full_inside_a_transaction_takes_nothing_in_and_passes() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let plan = planned(&store);
    let (go, held) = hold(&store);
    let full = store.shared.write(fill, |()| ());
    let refused = store.accept(batch(&store, plan, 1));
    drop(go);
    // It may be of the same transaction.
    drop(block_on(held));
    assert!(matches!(block_on(full), Err(StoreError::Full(_))));
    let refused = block_on(refused);
    assert!(matches!(refused, Err(AcceptError::Store(StoreError::Full(_)))), "{refused:?}");
    assert_eq!(events(&store), 0, "what was answered with an error is not there");
    let more = |tx: &mut Tx<'_>| tx.db.execute_batch("PRAGMA max_page_count = 1000000").map_err(|e| tx.error(e));
    block_on(store.shared.write(more, |()| ())).expect("space again");
    until("events are taken again", || accept(&store, plan, 1).is_ok());
    assert_eq!((events(&store), store.health()), (1, Health::Ok));
    drop(store);
    assert_eq!(events(&open(folder.path())), 1);
}

#[test]
fn a_panic_of_the_writer_is_told_to_all_and_ends_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let plan = planned(&store);
    accept(&store, plan, 2).expect("accepted");
    let (go, held) = hold(&store);
    let broken = store.shared.write(|_| -> Result<(), StoreError> { panic!("a fault of ours") }, |()| ());
    let waiting = store.accept(batch(&store, plan, 1));
    drop(go);
    // It may be of the same transaction.
    drop(block_on(held));
    block_on(broken).expect_err("broken");
    let expected = "the thread that writes the store broke off: a fault of ours";
    assert_eq!(block_on(store.broken()), expected);
    for refused in [block_on(waiting), accept(&store, plan, 1)] {
        assert!(refused.as_ref().is_err_and(|e| e.to_string().contains(expected)), "{refused:?}");
    }
    assert_eq!(store.health(), Health::Failed(expected.to_owned()));
    drop(store);
    assert_eq!(events(&open(folder.path())), 2, "what was accepted is there");
}

#[test]
fn a_202_waits_for_the_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let sync = |tx: &mut Tx<'_>| tx.db.query_row("PRAGMA synchronous", [], |r| r.get(0)).map_err(|e| tx.error(e));
    let full: i64 = block_on(store.shared.write(sync, |sync| sync)).expect("read");
    assert_eq!(full, 2);
}

#[test]
fn a_long_log_is_cut_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let log = folder.path().join(format!("{FILE}-wal"));
    let long = |tx: &mut Tx<'_>| {
        let insert = "INSERT INTO audit(time, actor, action, target, detail) VALUES(0, '', '', '', ?1)";
        tx.db.execute(insert, ["x".repeat(3 << 20)]).map(drop).map_err(|e| tx.error(e))
    };
    block_on(store.shared.write(long, |()| ())).expect("written");
    until("it is short", || {
        block_on(store.flush()).expect("the writer is not held up");
        fs::metadata(&log).is_ok_and(|m| m.len() < 1 << 20)
    });
}

#[test]
fn a_start_checks_the_file_for_a_bounded_time() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).close();
    let mut db = Connection::open(folder.path().join(FILE)).expect("opens");
    db.execute_batch(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
         INSERT INTO audit(time, actor, action, target, detail) SELECT i, '', '', '', '' FROM n",
    )
    .expect("written");
    let mut within = |time| verify_within(&mut db, folder.path(), time).expect("no damage");
    assert_eq!([within(Duration::ZERO), within(PATIENCE)], [Checked::InPart, Checked::Whole]);
}

/// A power cut leaves the end of the log unwritten, or full of something else. What was on disk before stays.
#[test]
fn a_log_torn_by_a_power_cut_keeps_all_that_was_accepted_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    let plan = planned(&store);
    let (file, log) = (folder.path().join(FILE), folder.path().join(format!("{FILE}-wal")));
    let length = || fs::metadata(&log).expect("a log").len();
    // While this one reads, nothing later than what it sees is carried over into the database.
    let reader = Connection::open(&file).expect("opens");
    reader.execute_batch("BEGIN; SELECT count(*) FROM event").expect("reads");
    let begin = length();
    let mut accepted: Vec<(EventSeq, u64)> = Vec::new();
    for n in 0..80 {
        let answers = accept(&store, plan, 1 + n % 3).expect("accepted");
        accepted.extend(answers.iter().map(|answer| (answer.seq, length())));
    }
    let (database, log) = (fs::read(&file).expect("read"), fs::read(&log).expect("read"));
    drop((reader, store));
    let seed: u64 = rand::rng().random();
    let mut rng = rand::rngs::SmallRng::seed_from_u64(seed);
    for case in 0..24 {
        let cut = rng.random_range(begin as usize..=log.len());
        let mut torn = log[..cut].to_vec();
        if case % 2 == 1 {
            torn.resize_with(log.len(), || rng.random());
        }
        let after = tempfile::tempdir().expect("a folder");
        fs::write(after.path().join(FILE), &database).expect("written");
        fs::write(after.path().join(format!("{FILE}-wal")), torn).expect("written");
        let store = open(after.path());
        for (seq, durable_at) in accepted.iter().filter(|(_, durable_at)| *durable_at <= cut as u64) {
            let event = block_on(store.event(*seq)).expect("readable");
            assert!(event.is_some(), "seed {seed}, case {case}: {seq} was on disk at {durable_at}, cut at {cut}");
        }
        let counts = store.counts();
        assert_eq!(counts.by_state[&crate::domain::delivery::DeliveryState::Pending], counts.events);
    }
}
