//! The embedded backend under the conformance suite, and what is its own.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::EmbeddedStore;
use crate::domain::ids::EndpointId;
use crate::store::{Store, StoreConfig, StoreError, conformance};

mod faults;

pub(super) fn config(folder: &Path) -> StoreConfig {
    StoreConfig {
        path: folder.to_path_buf(),
        relaxed: false,
        max_backlog: 1_000_000,
        idempotency_window: Duration::from_secs(3_600),
        max_template_origins: 3,
    }
}

fn open(folder: &Path) -> EmbeddedStore {
    EmbeddedStore::open(config(folder)).expect("the store opens")
}

/// Calls `test` with what opens the store anew, each time closing the last.
fn reopening(test: impl FnOnce(&dyn Fn() -> Arc<dyn Store>)) {
    let folder = tempfile::tempdir().expect("a folder");
    reopening_in(folder.path(), test);
}

fn reopening_in(folder: &Path, test: impl FnOnce(&dyn Fn() -> Arc<dyn Store>)) {
    let last: RefCell<Option<Arc<EmbeddedStore>>> = RefCell::new(None);
    test(&|| {
        if let Some(last) = last.borrow_mut().take() {
            last.close();
        }
        let opened = Arc::new(open(folder));
        *last.borrow_mut() = Some(opened.clone());
        opened
    });
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn lives_as_the_model_does(steps in conformance::steps()) {
        reopening(|open| conformance::live(open, steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn folds_in_order(objects in proptest::collection::vec(0u8..20, 1..60), reopen: bool) {
        reopening(|open| block_on(conformance::folds_in_order(open, objects, reopen)));
    }
}

#[test]
fn keeps_order_among_early_rows() {
    for steps in conformance::early_rows() {
        reopening(|open| conformance::live(open, steps));
    }
}

#[test]
fn moves_deliveries_to_the_endpoints_of_a_template() {
    reopening(|open| block_on(conformance::moves_to_a_template(open())));
}

#[test]
fn names_what_is_held_up() {
    reopening(|open| block_on(conformance::names_what_is_held_up(open())));
}

#[test]
fn records_while_people_order() {
    reopening(|open| conformance::records_while_people_order(open()));
}

#[test]
fn forgets_what_a_deleted_webhook_was_to_get() {
    reopening(|open| block_on(conformance::forgets_the_deleted(open)));
}

#[test]
fn prunes_only_what_is_over_its_time() {
    reopening(|open| block_on(conformance::pruning::over_its_time(open())));
}

#[test]
fn prunes_no_event_whose_young_deliveries_have_no_row_yet() {
    reopening(|open| block_on(conformance::pruning::spares_the_young(open)));
}

#[test]
fn prunes_down_to_the_bound_and_not_for_the_sake_of_failed_deliveries() {
    reopening(|open| block_on(conformance::pruning::down_to_the_bound(open())));
}

#[test]
fn pruned_deliveries_leave_no_index_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(folder.path()));
    block_on(conformance::pruning::much(store.clone()));
    let db = rusqlite::Connection::open(folder.path().join(super::schema::FILE)).expect("opens");
    let counts = |sql: &str| db.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?))).expect(sql);
    let pairs =
        "SELECT count(d.id), count(*) FROM placed p LEFT JOIN delivery d ON d.id = p.id AND d.endpoint = p.endpoint";
    let (rowed, written): (i64, i64) = counts(pairs);
    let waiting = store.shared.places.waiting_at(&[EndpointId(1), EndpointId(2)]).len() as i64;
    assert_eq!((rowed, written + waiting), (written, 1), "{waiting} wait");
    let keys = "SELECT count(e.seq), count(*) FROM event_key k LEFT JOIN event e ON e.seq = k.seq";
    let (of_events, all): (i64, i64) = counts(keys);
    assert_eq!(of_events, all);
    assert!(all <= 2, "{all}");
}

#[test]
fn prunes_delivered_siblings_of_a_failed_delivery_alone() {
    reopening(|open| block_on(conformance::pruning::siblings_of_failed(open())));
}

#[test]
fn prunes_no_event_that_a_folded_delivery_refers_to() {
    reopening(|open| block_on(conformance::pruning::spares_the_folded(open())));
}

#[test]
fn prunes_unmatched_events_by_their_own_time_and_later_failures_in_theirs() {
    reopening(|open| block_on(conformance::pruning::each_kind_in_its_time(open())));
}

#[test]
fn pruned_deliveries_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn Store> = Arc::new(open(folder.path()));
    let age = || {
        let db = rusqlite::Connection::open(folder.path().join(super::schema::FILE)).expect("opens");
        db.busy_timeout(Duration::from_secs(10)).expect("set");
        db.execute("UPDATE revision SET replaced = replaced - 3600000000", []).expect("written");
        db.execute("UPDATE event SET received = received - 7200000000", []).expect("written");
    };
    block_on(conformance::leaves_nothing_behind(store, &age));
}

#[test]
fn pages_are_what_a_look_at_every_row_finds() {
    let folder = tempfile::tempdir().expect("a folder");
    let spread = || {
        let db = rusqlite::Connection::open(folder.path().join(super::schema::FILE)).expect("opens");
        db.busy_timeout(Duration::from_secs(10)).expect("set");
        // Three seconds from one to the next, and back up to nine.
        let received = "1764000000000000 + seq * 3000000 - (seq % 4) * 3000000";
        db.execute(&format!("UPDATE event SET received = {received}"), []).expect("written");
    };
    let config = ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    reopening_in(folder.path(), |open| {
        let bed = block_on(conformance::searching::Bed::new(open, &spread));
        let checked = runner.run(&conformance::searching::picks(), |(picks, limit)| {
            block_on(bed.agrees(&picks, limit));
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("{failure}"));
    });
}

#[test]
fn retries_in_bulk() {
    reopening(|open| block_on(conformance::retries_in_bulk(open())));
}

#[test]
fn moves_with_the_payload_url() {
    reopening(|open| block_on(conformance::moves(open())));
}

#[test]
fn knows_repeats_over_a_restart() {
    reopening(|open| block_on(conformance::knows_repeats(open)));
}

#[test]
fn a_folder_serves_one_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(folder.path());
    let second = EmbeddedStore::open(config(folder.path()));
    let message = second.err().expect("refused").to_string();
    assert!(message.contains("in use by another process"), "{message}");
}

#[test]
fn a_newer_or_foreign_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    open(folder.path()).close();
    let db = rusqlite::Connection::open(folder.path().join(super::schema::FILE)).expect("opens");
    db.execute_batch("PRAGMA user_version = 99").expect("written");
    drop(db);
    let refused = EmbeddedStore::open(config(folder.path())).err();
    assert!(matches!(refused, Some(StoreError::Conflict(_))), "{refused:?}");
}

#[test]
fn a_damaged_file_is_named_and_saved_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let saved = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn Store> = Arc::new(open(folder.path()));
    block_on(conformance::retries_in_bulk(store.clone()));
    drop(store);
    let path = folder.path().join(super::schema::FILE);
    let root: u32 = rusqlite::Connection::open(&path)
        .and_then(|db| db.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'delivery'", [], |r| r.get(0)))
        .expect("a table");
    let mut bytes = std::fs::read(&path).expect("read");
    let page = (root as usize - 1) * 4_096;
    bytes[page..page + 2_000].fill(0xff);
    std::fs::write(&path, &bytes).expect("written");
    std::fs::remove_file(folder.path().join("clean")).expect("it was closed in order");
    let refused = EmbeddedStore::open(config(folder.path())).err().expect("refused").to_string();
    assert!(refused.contains("damaged") && refused.contains("recover"), "{refused}");
    assert_eq!(std::fs::read(&path).expect("read"), bytes, "the damaged file is left as it is");
    let report = super::recover(folder.path(), saved.path()).expect("saved");
    assert!(report.webhooks >= 1, "{report:?}");
    open(saved.path());
}

#[test]
fn a_backup_opens_as_a_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = tempfile::tempdir().expect("a folder");
    let store: Arc<dyn Store> = Arc::new(open(folder.path()));
    block_on(conformance::retries_in_bulk(store.clone()));
    block_on(store.backup(copy.path().join(super::schema::FILE))).expect("copied");
    let copied = open(copy.path());
    let copied: &dyn Store = &copied;
    assert_eq!(copied.counts(), store.counts());
}
