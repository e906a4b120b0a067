//! A cap on requests in flight that many endpoints share, served round-robin by endpoint.
//!
//! Who asks and gets nothing stands in line. Whenever places are free, those first in line are *called*: a place each is
//! kept for them until their turn is over. So nobody waits while a place is free that he may have, which is the
//! invariant all of this rests on: a line of which somebody could be called is empty.
//!
//! Endpoints in trouble hold at most half of the cap, and with them those that have never been seen to answer at most
//! three quarters: the rest is for endpoints known to answer, whatever the others do. An endpoint that came into
//! trouble takes the places it holds along, so the troubled may hold more than half until requests end, but get no more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foldhash::HashMap;

use crate::domain::ids::EndpointId;
use crate::domain::time::Timestamp;

/// A called one who does not come loses its turn after this, and its place in line.
pub const TURN: Duration = Duration::from_millis(500);

/// What is known of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It answers.
    Proven,
    /// It has not answered yet.
    Unproven,
    /// Its last request was not answered, or one has been open for long.
    Trouble,
}

const STANDINGS: [Standing; 3] = [Standing::Proven, Standing::Unproven, Standing::Trouble];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Out,
    Waiting(u64),
    /// A place is kept for it until then.
    Called(Timestamp),
}

#[derive(Clone, Copy, Debug)]
struct Member {
    standing: Standing,
    /// Places it holds.
    held: usize,
    line: Line,
}

/// The cap, who holds places, and who waits. Each operation takes O(log n), and names whom to wake.
#[derive(Debug)]
pub struct FairCap {
    cap: usize,
    members: HashMap<EndpointId, Member>,
    /// Places held or kept, by standing.
    taken: [usize; 3],
    /// By standing, in the order they came.
    lines: [BTreeMap<u64, EndpointId>; 3],
    called: BTreeSet<(Timestamp, EndpointId)>,
    next: u64,
}

impl FairCap {
    pub fn new(cap: usize) -> Self {
        Self {
            cap: cap.max(1),
            members: HashMap::default(),
            taken: [0; 3],
            lines: Default::default(),
            called: BTreeSet::new(),
            next: 0,
        }
    }

    pub fn set_cap(&mut self, cap: usize, now: Timestamp) -> Vec<EndpointId> {
        self.cap = cap.max(1);
        self.call(now)
    }

    /// Takes up to `wanted` places, one at a time while others wait. Who gets none stands in line.
    pub fn ask(
        &mut self,
        endpoint: EndpointId,
        wanted: usize,
        standing: Standing,
        now: Timestamp,
    ) -> (usize, Vec<EndpointId>) {
        if wanted == 0 {
            return (0, Vec::new());
        }
        let mut called = self.expire(now);
        called.extend(self.set_standing(endpoint, standing, now));
        let mut member = self.members.get(&endpoint).copied().unwrap_or(Member { standing, held: 0, line: Line::Out });
        if let Line::Waiting(_) = member.line {
            return (0, called);
        }
        let its_turn = matches!(member.line, Line::Called(_));
        if let Line::Called(until) = std::mem::replace(&mut member.line, Line::Out) {
            self.called.remove(&(until, endpoint));
            self.taken[standing as usize] -= 1;
        }
        let alone = self.called.is_empty() && self.lines.iter().all(BTreeMap::is_empty);
        let free = if its_turn || self.lines[standing as usize].is_empty() { self.room(standing) } else { 0 };
        let granted = free.min(if alone { wanted } else { 1 });
        if granted == 0 {
            member.line = Line::Waiting(self.next);
            self.lines[standing as usize].insert(self.next, endpoint);
            self.next += 1;
        }
        member.held += granted;
        self.taken[standing as usize] += granted;
        self.members.insert(endpoint, member);
        called.extend(self.call(now));
        (granted, called)
    }

    /// Takes one place if there is one that nobody waits for; never stands in line.
    pub fn take_one(&mut self, endpoint: EndpointId, now: Timestamp) -> (bool, Vec<EndpointId>) {
        let called = self.expire(now);
        let known = self.members.get(&endpoint).map_or(Standing::Unproven, |m| m.standing);
        if self.room(known) == 0 {
            return (false, called);
        }
        let member = Member { standing: known, held: 0, line: Line::Out };
        self.members.entry(endpoint).or_insert(member).held += 1;
        self.taken[known as usize] += 1;
        (true, called)
    }

    /// Places are free again.
    pub fn give_back(&mut self, endpoint: EndpointId, places: usize, now: Timestamp) -> Vec<EndpointId> {
        if let Some(member) = self.members.get_mut(&endpoint) {
            let places = places.min(member.held);
            member.held -= places;
            self.taken[member.standing as usize] -= places;
            self.forget_if_done(endpoint);
        }
        let mut called = self.expire(now);
        called.extend(self.call(now));
        called
    }

    /// It does not want a place any more: paused, held back, or gone. What it holds it keeps.
    pub fn leave(&mut self, endpoint: EndpointId, now: Timestamp) -> Vec<EndpointId> {
        self.step_out(endpoint);
        self.forget_if_done(endpoint);
        let mut called = self.expire(now);
        called.extend(self.call(now));
        called
    }

    /// What it holds and waits for counts under its new standing from now on.
    pub fn set_standing(&mut self, endpoint: EndpointId, standing: Standing, now: Timestamp) -> Vec<EndpointId> {
        let Some(member) = self.members.get_mut(&endpoint).filter(|m| m.standing != standing) else {
            return Vec::new();
        };
        let (old, new) = (member.standing as usize, standing as usize);
        member.standing = standing;
        let moved = member.held + usize::from(matches!(member.line, Line::Called(_)));
        self.taken[old] -= moved;
        self.taken[new] += moved;
        if let Line::Waiting(place) = member.line {
            self.lines[old].remove(&place);
            self.lines[new].insert(place, endpoint);
        }
        self.call(now)
    }

    /// Nobody holds a place or waits for one.
    pub fn is_unused(&self) -> bool {
        self.members.is_empty()
    }

    /// Places that an endpoint of this standing may still have.
    fn room(&self, standing: Standing) -> usize {
        let [proven, unproven, trouble] = self.taken;
        let suspect = unproven + trouble;
        let free = self.cap.saturating_sub(proven + suspect);
        let free_for_suspects = free.min((self.cap - self.cap / 4).saturating_sub(suspect));
        match standing {
            Standing::Proven => free,
            Standing::Unproven => free_for_suspects,
            Standing::Trouble => free_for_suspects.min((self.cap / 2).max(1).saturating_sub(trouble)),
        }
    }

    /// Calls those first in line as long as there are places for them.
    fn call(&mut self, now: Timestamp) -> Vec<EndpointId> {
        let mut called = Vec::new();
        loop {
            let first = |s: &Standing| self.lines[*s as usize].first_key_value().map(|(place, who)| (*place, *who, *s));
            let next =
                STANDINGS.iter().filter(|s| self.room(**s) > 0).filter_map(first).min_by_key(|(place, ..)| *place);
            let Some((place, who, standing)) = next else { return called };
            self.lines[standing as usize].remove(&place);
            self.taken[standing as usize] += 1;
            let until = now + TURN;
            self.called.insert((until, who));
            if let Some(member) = self.members.get_mut(&who) {
                member.line = Line::Called(until);
            }
            called.push(who);
        }
    }

    /// Turns that were not taken pass on.
    fn expire(&mut self, now: Timestamp) -> Vec<EndpointId> {
        let mut over = false;
        while let Some((_, who)) = self.called.first().copied().filter(|(until, _)| *until <= now) {
            self.step_out(who);
            self.forget_if_done(who);
            over = true;
        }
        if over { self.call(now) } else { Vec::new() }
    }

    fn step_out(&mut self, endpoint: EndpointId) {
        let Some(member) = self.members.get_mut(&endpoint) else { return };
        match std::mem::replace(&mut member.line, Line::Out) {
            Line::Out => {}
            Line::Waiting(place) => drop(self.lines[member.standing as usize].remove(&place)),
            Line::Called(until) => {
                self.called.remove(&(until, endpoint));
                self.taken[member.standing as usize] -= 1;
            }
        }
    }

    fn forget_if_done(&mut self, endpoint: EndpointId) {
        if self.members.get(&endpoint).is_some_and(|m| m.held == 0 && m.line == Line::Out) {
            self.members.remove(&endpoint);
        }
    }
}

#[cfg(test)]
mod tests;
