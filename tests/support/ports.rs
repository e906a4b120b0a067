//! Free ports that stay free: below the range the kernel takes for outgoing connections, so a server that is
//! restarted gets its port again.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// A port on 127.0.0.1 that nobody listens on.
pub fn free() -> u16 {
    bind().local_addr().expect("a bound listener has an address").port()
}

/// A listener on a port as [`free`] gives it.
pub fn bind() -> TcpListener {
    // Test programs run side by side: each starts looking somewhere else.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (std::process::id().wrapping_mul(127).wrapping_add(step)) % COUNT;
        let port = u16::try_from(port).expect("the range lies below 65536");
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}
