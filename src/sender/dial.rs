//! Connecting to one of several addresses.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_rt::net::TcpStream;
use futures_util::stream::{FuturesUnordered, StreamExt};

/// How long an address may stay silent before the next is tried beside it (RFC 8305 §5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the first address that answers. They are tried in order, each next one when the one before fails or
/// after a short wait; the error is that of the last to fail.
pub(super) async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, (Option<SocketAddr>, io::Error)> {
    let mut last_error = (None, io::Error::new(io::ErrorKind::NotFound, "there is no address to connect to"));
    let mut untried = alternate(addresses).into_iter();
    let mut dials = FuturesUnordered::new();
    loop {
        match untried.next() {
            Some(address) => dials.push(connect(address)),
            None if dials.is_empty() => return Err(last_error),
            None => {}
        }
        let more = untried.len() > 0;
        tokio::select! {
            Some((address, result)) = dials.next() => match result {
                Ok(stream) => return Ok(stream),
                Err(e) => last_error = (Some(address), e),
            },
            () = tokio::time::sleep(HEAD_START), if more => {}
        }
    }
}

async fn connect(address: SocketAddr) -> (SocketAddr, io::Result<TcpStream>) {
    let connected = TcpStream::connect(address).await;
    // Head and body may be two writes, and the second must not wait for the first one's acknowledgement.
    (address, connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)))
}

/// The families in turn, so that a dead one costs little; each in the order given (RFC 8305 §4).
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first() else { return addresses };
    let first_is_v6 = first.is_ipv6();
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let mut alternated = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let (a, b) = (one.next(), other.next());
        if a.is_none() && b.is_none() {
            return alternated;
        }
        alternated.extend(a.into_iter().chain(b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|a| a.parse().expect("an address")).collect()
    }

    #[test]
    fn families_take_turns() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let expected = addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(alternate(given), expected);
        assert_eq!(alternate(vec![]), []);
    }

    #[actix_rt::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let open = listener.local_addr().expect("a bound listener has an address");
        let closed = {
            let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            gone.local_addr().expect("a bound listener has an address")
        };
        let stream = dial(vec![closed, open]).await.expect("the second address answers");
        assert_eq!(stream.peer_addr().expect("connected"), open);
        let (address, error) = dial(vec![closed]).await.expect_err("nobody listens");
        assert_eq!((address, error.kind()), (Some(closed), io::ErrorKind::ConnectionRefused));
    }
}
