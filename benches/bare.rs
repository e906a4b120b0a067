//! The first yardstick: awc alone, posting the same bodies to the same receiver. Nothing can deliver faster with it.

use std::cell::Cell;
use std::rc::Rc;

use awc::{Client, Connector};
use bytes::Bytes;

use super::event;

/// A client as a dispatcher wants it: as many connections as there are requests, no redirects, no timer per request.
pub fn client() -> Client {
    let connector = Connector::new().limit(0);
    Client::builder().connector(connector).disable_redirects().disable_timeout().finish()
}

/// Posts `count` bodies, one in flight per lane; lanes take the URLs in turn. Runs as a process of its own.
pub fn main(count: u64, lanes: usize, urls: &[String]) -> anyhow::Result<()> {
    actix_rt::System::new().block_on(async {
        let client = client();
        let left = Rc::new(Cell::new(count));
        let body = Bytes::from(event::one(7));
        let lanes: Vec<_> = (0..lanes)
            .map(|lane| {
                let request = client.post(&urls[lane % urls.len()]).content_type("application/json").freeze();
                let (left, body) = (left.clone(), body.clone());
                actix_rt::spawn(async move {
                    let request = request.map_err(|e| anyhow::anyhow!("{e}"))?;
                    while left.get() > 0 {
                        left.set(left.get() - 1);
                        let sent = request.send_body(body.clone()).await;
                        sent.map_err(|e| anyhow::anyhow!("{e}"))?.body().await?;
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        for lane in lanes {
            lane.await??;
        }
        Ok(())
    })
}
