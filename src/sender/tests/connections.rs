//! Connections: kept, gone stale, ended in the middle, shared, and dropped.

use super::*;

#[actix_rt::test]
async fn a_connection_is_kept_and_used_again() {
    let receiver = Receiver::answering(OK).await;
    let sender = sender();
    for _ in 0..3 {
        assert_eq!(sender.send(request(&receiver.url("/"))).await.outcome, answered(200));
    }
    let again = sender.send(request(&receiver.url("/other"))).await;
    assert_eq!((again.timings.connect, again.remote_address), (None, Some(receiver.address)));
    assert!(receiver.requests().iter().all(|r| r.connection == 0));
    assert_eq!(sender.clients.len(), 1);
}

#[actix_rt::test]
async fn a_stale_connection_costs_nothing() {
    for with_reset in [false, true] {
        let receiver = Receiver::start(move |mut peer| async move {
            let first = peer.request().await;
            if peer.connection == 0 {
                // Answers once, then hangs up upon the second request, as if it had timed out at that moment.
                peer.write(OK).await;
                peer.request().await;
                return if with_reset { peer.reset() } else { drop(peer) };
            }
            if first.is_some() {
                peer.write(OK).await;
            }
        })
        .await;
        let sender = sender();
        assert!(sender.send(request(&receiver.url("/1"))).await.succeeded());
        let second = sender.send(request(&receiver.url("/2"))).await;
        assert_eq!((second.outcome, second.detail), (answered(200), None));
        assert!(second.timings.connect.is_some());
        let requests = receiver.requests();
        let seen: Vec<_> = requests.iter().map(|r| (r.connection, &r.head[5..7])).collect();
        assert_eq!(seen, [(0, "/1"), (0, "/2"), (1, "/2")]);
    }
}

#[actix_rt::test]
async fn a_request_is_not_repeated_once_an_answer_began() {
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.write(OK).await;
        peer.request().await;
        peer.write(b"HTTP/1.1 2").await;
        peer.reset();
    })
    .await;
    let sender = sender();
    assert!(sender.send(request(&receiver.url("/"))).await.succeeded());
    let second = sender.send(request(&receiver.url("/"))).await;
    assert_eq!(second.outcome, unanswered(ErrorKind::Reset));
    assert_eq!(receiver.requests().len(), 2);
}

#[actix_rt::test]
async fn a_body_that_ends_with_the_connection_is_no_part_of_the_next_answer() {
    // As scripts answer: no length, and what comes late would be read as the answer to the next request.
    let receiver = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.1 200 OK\r\n\r\n").await;
        peer.request().await;
        peer.write(b"HTTP/1.1 500 Late\r\nContent-Length: 0\r\n\r\n").await;
    })
    .await;
    let sender = sender();
    for _ in 0..3 {
        assert_eq!(sender.send(request(&receiver.url("/"))).await.outcome, answered(200));
    }
    let connections: Vec<usize> = receiver.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 1, 2]);

    let old = Receiver::start(|mut peer| async move {
        peer.request().await;
        peer.write(b"HTTP/1.0 200 OK\r\n\r\nold").await;
    })
    .await;
    let attempt = sender.send(request(&old.url("/"))).await;
    assert_eq!((attempt.outcome, &attempt.response_excerpt[..]), (answered(200), &b"old"[..]));
}

#[actix_rt::test]
async fn an_interim_answer_is_not_the_answer() {
    let receiver = Receiver::start(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.write(b"HTTP/1.1 100 Continue\r\n\r\n").await;
            peer.write(OK).await;
        }
    })
    .await;
    let sender = sender();
    for _ in 0..2 {
        let attempt = sender.send(request(&receiver.url("/"))).await;
        assert_eq!(attempt.outcome, unanswered(ErrorKind::Reset), "{:?}", attempt.detail);
    }
    let connections: Vec<usize> = receiver.requests().iter().map(|r| r.connection).collect();
    assert_eq!(connections, [0, 1]);
}

#[actix_rt::test]
async fn a_slow_origin_does_not_hold_up_another_request_to_it() {
    let receiver = Receiver::start(|mut peer| async move {
        let slow = peer.request().await.is_some_and(|r| r.head.contains("/slow"));
        if slow {
            return peer.hang().await;
        }
        peer.write(OK).await;
    })
    .await;
    let sender = sender();
    let slow = sender.send(impatient(&receiver.url("/slow")));
    let fast = async {
        let attempt = sender.send(request(&receiver.url("/fast"))).await;
        assert!(attempt.succeeded() && attempt.timings.total < Duration::from_millis(300));
    };
    let (slow, ()) = futures_util::join!(slow, fast);
    assert_eq!(slow.outcome, unanswered(ErrorKind::Timeout));
}

#[actix_rt::test]
async fn unused_clients_are_dropped_with_their_connections() {
    let (closed, seen) = tokio::sync::oneshot::channel();
    let closed = Rc::new(std::cell::Cell::new(Some(closed)));
    let receiver = Receiver::start(move |mut peer| {
        let closed = Rc::clone(&closed);
        async move {
            while peer.request().await.is_some() {
                peer.write(OK).await;
            }
            closed.take().into_iter().for_each(|c| c.send(()).expect("the test waits"));
        }
    })
    .await;
    let sender = sender();
    assert!(sender.send(request(&receiver.url("/"))).await.succeeded());
    assert_eq!(sender.clients.len(), 1);
    assert_eq!(sender.clients.sweep(clock::now() + Duration::from_secs(9)), 1);
    assert_eq!(sender.clients.sweep(clock::now() + Duration::from_secs(11)), 0);
    seen.await.expect("the connection is closed");
    assert!(sender.send(request(&receiver.url("/"))).await.succeeded());
}
