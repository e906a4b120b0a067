//! Several streams as one list, looked through under a bound: what was found by then is a page, and the next one goes on
//! from there.

use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rusqlite::Connection;

use super::stream::{Span, Stream};
use crate::clock;

/// How much one page may look at without finding anything.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub rows: usize,
    pub time: Duration,
}

/// A page answers well below 50 ms whatever is looked for. (Small under test, so that most pages end early.)
pub const PATIENCE: Patience =
    Patience { rows: if cfg!(test) { 10 } else { 100_000 }, time: Duration::from_millis(20) };

/// Candidates of the first step of a stream, or fewer where many are read side by side; later steps are as large as they
/// are quick.
const FIRST: usize = if cfg!(test) { 3 } else { 64 };
const LEAST: usize = 3;
const LARGEST: usize = 8_192;
/// Steps become larger below the first and smaller above the second.
const QUICK: Duration = Duration::from_millis(1);
const SLOW: Duration = Duration::from_millis(4);

/// What a walk found.
#[derive(Debug, PartialEq, Eq)]
pub struct Walked {
    /// In the order they were read; one more than was wanted if there are more.
    pub ids: Vec<i64>,
    /// Patience ended here: everything up to this id, itself included, was looked at.
    pub end: Option<i64>,
}

/// A stream in the order of what it has next. Streams that come later in the list have lower ranks.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    rank: i64,
    /// Else it must be looked at from there on.
    found: bool,
    stream: usize,
}

/// Reads `limit` rows and one more. Rows in several streams are read once.
pub fn walk(
    db: &Connection,
    mut streams: Vec<Stream>,
    backward: bool,
    limit: usize,
    patience: Patience,
) -> rusqlite::Result<Walked> {
    // Both ways the first has the highest rank: `!` turns the order round.
    let rank = |id: i64| if backward { !id } else { id };
    let unread = |span: &Span| rank(span.start(backward));
    let mut heap: BinaryHeap<Next> = (streams.iter().enumerate())
        .filter(|(_, s)| !s.span.is_empty())
        .map(|(stream, s)| Next { rank: unread(&s.span), found: false, stream })
        .collect();
    let mut found: Vec<VecDeque<i64>> = streams.iter().map(|_| VecDeque::new()).collect();
    let (begun, begin) = (clock::now(), heap.peek().map(|next| next.rank));
    let (mut ids, mut looked) = (Vec::new(), 0usize);
    let first = (4 * (limit + 1) / streams.len().max(1)).clamp(LEAST, FIRST);
    let mut sizes = vec![first; streams.len()];
    while let Some(next) = heap.pop() {
        let stream = &mut streams[next.stream];
        let waiting = &mut found[next.stream];
        if next.found {
            let id = rank(next.rank);
            waiting.pop_front();
            if ids.last() != Some(&id) {
                ids.push(id);
            }
            if ids.len() > limit {
                return Ok(Walked { ids, end: None });
            }
        } else {
            let since = clock::now();
            let tired = looked >= patience.rows || since.since(begun) >= patience.time;
            // It gets on in any case, else the next page would begin where this one did.
            if tired && Some(next.rank) != begin {
                // What begins with the last row has been read by another stream that far.
                let unread = rank(next.rank);
                let end = match ids.last() {
                    Some(last) if *last == unread => unread,
                    _ if backward => unread - 1,
                    _ => unread + 1,
                };
                return Ok(Walked { ids, end: Some(end) });
            }
            let size = &mut sizes[next.stream];
            let step = stream.step(db, backward, *size, limit + 1)?;
            looked += step.looked.saturating_sub(step.matches.len());
            waiting.extend(step.matches);
            *size = next_size(*size, clock::now().since(since));
        }
        if let Some(id) = waiting.front() {
            heap.push(Next { rank: rank(*id), found: true, stream: next.stream });
        } else if !stream.span.is_empty() {
            heap.push(Next { rank: unread(&stream.span), found: false, stream: next.stream });
        }
    }
    Ok(Walked { ids, end: None })
}

fn next_size(size: usize, took: Duration) -> usize {
    if took < QUICK {
        (size * 2).min(LARGEST)
    } else if took > SLOW {
        (size / 2).max(LEAST)
    } else {
        size
    }
}
