//! Host names to addresses.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// The addresses in the system resolver's order (RFC 6724), or why there are none.
type Answer = Result<Rc<[IpAddr]>, Rc<str>>;
type Lookup = Shared<LocalBoxFuture<'static, Answer>>;

/// Asks the system's resolver, for each name at most once at a time.
///
/// The system's resolver blocks a thread, and a name whose server is silent blocks it for long: were every attempt to
/// ask anew, one dead domain would use up the threads that the others' names need.
#[derive(Default)]
pub(super) struct Names {
    running: Rc<RefCell<HashMap<Rc<str>, Lookup>>>,
}

impl Names {
    pub(super) async fn resolve(&self, host: &str) -> Answer {
        let running = self.running.borrow().get(host).cloned();
        let lookup = running.unwrap_or_else(|| self.start(host));
        lookup.await
    }

    /// A task of its own: it goes on when everyone who waits for it has given up.
    fn start(&self, host: &str) -> Lookup {
        let host: Rc<str> = host.into();
        let (running, name) = (Rc::clone(&self.running), Rc::clone(&host));
        let task = actix_rt::spawn(async move {
            let answer = ask(&name).await;
            running.borrow_mut().remove(&name);
            answer
        });
        let lookup = async move { task.await.unwrap_or_else(|e| Err(e.to_string().into())) }.boxed_local().shared();
        self.running.borrow_mut().insert(host, lookup.clone());
        lookup
    }
}

async fn ask(host: &str) -> Answer {
    match tokio::net::lookup_host((host, 0)).await {
        Ok(found) => {
            let addresses: Rc<[IpAddr]> = found.map(|a| a.ip()).take(MAX_ADDRESSES).collect();
            if addresses.is_empty() { Err("it has no addresses".into()) } else { Ok(addresses) }
        }
        Err(e) => Err(e.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn a_name_is_asked_for_once_at_a_time() {
        let names = Names::default();
        let lookups = futures_util::join!(names.resolve("localhost"), names.resolve("localhost"), async {
            assert_eq!(names.running.borrow().len(), 1);
        });
        let (first, second) = (lookups.0.expect("localhost"), lookups.1.expect("localhost"));
        assert!(Rc::ptr_eq(&first, &second) && first.iter().all(IpAddr::is_loopback));
        assert!(names.running.borrow().is_empty());
    }

    #[actix_rt::test]
    async fn a_lookup_nobody_waits_for_any_more_still_ends() {
        let names = Names::default();
        drop(futures_util::poll!(Box::pin(names.resolve("localhost"))));
        assert_eq!(names.running.borrow().len(), 1);
        // Joins the lookup that was left alone.
        assert!(names.resolve("localhost").await.is_ok());
        assert!(names.running.borrow().is_empty());
    }
}
