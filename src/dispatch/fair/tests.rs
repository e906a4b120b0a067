use proptest::prelude::*;

use super::*;

const A: EndpointId = EndpointId(1);
const B: EndpointId = EndpointId(2);
const C: EndpointId = EndpointId(3);
const T0: Timestamp = Timestamp(1_000_000);

fn ask(cap: &mut FairCap, who: EndpointId, wanted: usize, standing: Standing) -> usize {
    cap.ask(who, wanted, standing, T0).0
}

#[test]
fn those_who_wait_take_turns() {
    let mut cap = FairCap::new(1);
    assert_eq!(ask(&mut cap, A, 5, Standing::Proven), 1);
    assert_eq!((ask(&mut cap, B, 1, Standing::Proven), ask(&mut cap, C, 1, Standing::Proven)), (0, 0));
    assert_eq!(cap.give_back(A, 1, T0), [B]);
    assert_eq!(ask(&mut cap, A, 1, Standing::Proven), 0, "it is B's turn");
    assert_eq!(ask(&mut cap, B, 1, Standing::Proven), 1);
    assert_eq!(cap.give_back(B, 1, T0), [C]);
}

#[test]
fn a_turn_that_is_not_taken_passes_to_the_next_in_line() {
    let mut cap = FairCap::new(1);
    ask(&mut cap, A, 1, Standing::Proven);
    ask(&mut cap, B, 1, Standing::Proven);
    ask(&mut cap, C, 1, Standing::Proven);
    assert_eq!(cap.give_back(A, 1, T0), [B]);
    // B was paused meanwhile and never asks; whoever asks next sets it right.
    assert_eq!(cap.ask(A, 1, Standing::Proven, T0 + TURN), (0, vec![C]));
    assert_eq!(cap.ask(C, 1, Standing::Proven, T0 + TURN).0, 1);
}

#[test]
fn one_that_leaves_passes_its_turn_on_at_once() {
    let mut cap = FairCap::new(1);
    ask(&mut cap, A, 1, Standing::Proven);
    ask(&mut cap, B, 1, Standing::Proven);
    ask(&mut cap, C, 1, Standing::Proven);
    assert_eq!(cap.give_back(A, 1, T0), [B]);
    assert_eq!(cap.leave(B, T0), [C]);
    assert_eq!(ask(&mut cap, C, 1, Standing::Proven), 1);
}

#[test]
fn endpoints_in_trouble_hold_at_most_half_and_the_unproven_at_most_three_quarters() {
    let mut cap = FairCap::new(20);
    assert_eq!(ask(&mut cap, A, 20, Standing::Trouble), 10);
    assert_eq!(ask(&mut cap, B, 20, Standing::Unproven), 5);
    assert_eq!(ask(&mut cap, C, 20, Standing::Proven), 5);
}

#[test]
fn the_troubled_in_line_do_not_hold_up_the_proven() {
    let mut cap = FairCap::new(4);
    ask(&mut cap, A, 2, Standing::Trouble);
    assert_eq!(ask(&mut cap, B, 1, Standing::Trouble), 0);
    assert_eq!(ask(&mut cap, C, 9, Standing::Proven), 1);
    assert_eq!(ask(&mut cap, C, 9, Standing::Proven), 1);
    assert_eq!(ask(&mut cap, C, 9, Standing::Proven), 0, "the cap is reached");
}

#[test]
fn a_single_request_beside_the_queue_does_not_stand_in_line() {
    let mut cap = FairCap::new(1);
    ask(&mut cap, A, 1, Standing::Proven);
    assert!(!cap.take_one(B, T0).0);
    assert_eq!(cap.give_back(A, 1, T0), []);
    assert!(cap.take_one(B, T0).0);
    cap.give_back(B, 1, T0);
    assert!(cap.is_unused());
}

#[derive(Clone, Debug)]
enum Step {
    Ask {
        who: u32,
        wanted: usize,
    },
    Standing {
        who: u32,
        standing: usize,
    },
    End {
        who: u32,
    },
    /// Paused: it does not ask any more; whether the cap learns of it.
    Stop {
        who: u32,
        told: bool,
    },
    Single {
        who: u32,
    },
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u32..12, 1usize..5).prop_map(|(who, wanted)| Step::Ask { who, wanted }),
        8 => (0u32..12).prop_map(|who| Step::End { who }),
        2 => (0u32..12, 0usize..3).prop_map(|(who, standing)| Step::Standing { who, standing }),
        2 => (0u32..12, any::<bool>()).prop_map(|(who, told)| Step::Stop { who, told }),
        1 => (0u32..12).prop_map(|who| Step::Single { who }),
        3 => (1u64..700).prop_map(Step::Pass),
    ]
}

/// Endpoints that ask as the real ones do: when they are called, and again and again while they wait.
struct World {
    cap: FairCap,
    now: Timestamp,
    held: BTreeMap<u32, usize>,
    waiting: BTreeSet<u32>,
    standing: [Standing; 12],
}

impl World {
    fn ask(&mut self, who: u32, wanted: usize) -> usize {
        let mut line = vec![(who, wanted)];
        let mut own = 0;
        // Those who are called ask in turn; those who stopped do not.
        while let Some((who, wanted)) = line.pop() {
            let (granted, called) = self.cap.ask(EndpointId(who), wanted, self.standing[who as usize], self.now);
            *self.held.entry(who).or_default() += granted;
            if granted == 0 {
                self.waiting.insert(who);
            } else {
                self.waiting.remove(&who);
                own += granted;
            }
            line.extend(called.iter().filter(|c| self.waiting.contains(&c.0)).map(|c| (c.0, 1)));
        }
        own
    }

    fn called(&mut self, called: Vec<EndpointId>) {
        for EndpointId(who) in called {
            if self.waiting.contains(&who) {
                self.ask(who, 1);
            }
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Ask { who, wanted } => {
                self.ask(who, wanted);
            }
            Step::Standing { who, standing } => {
                self.standing[who as usize] = STANDINGS[standing];
                let called = self.cap.set_standing(EndpointId(who), STANDINGS[standing], self.now);
                self.called(called);
            }
            Step::End { who } => {
                let held = self.held.entry(who).or_default();
                if *held > 0 {
                    *held -= 1;
                    let called = self.cap.give_back(EndpointId(who), 1, self.now);
                    self.called(called);
                }
            }
            Step::Stop { who, told } => {
                self.waiting.remove(&who);
                if told {
                    let called = self.cap.leave(EndpointId(who), self.now);
                    self.called(called);
                }
            }
            Step::Single { who } => {
                let (taken, called) = self.cap.take_one(EndpointId(who), self.now);
                *self.held.entry(who).or_default() += usize::from(taken);
                self.called(called);
            }
            Step::Pass(ms) => self.now = self.now + Duration::from_millis(ms),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// The cap is never exceeded, and whenever places are free for one who goes on asking, he gets one soon.
    #[test]
    fn nobody_waits_for_ever_while_places_are_free(cap in 1usize..9, steps in prop::collection::vec(step(), 1..200)) {
        let standing = [Standing::Proven; 12];
        let mut world = World {
            cap: FairCap::new(cap), now: T0, held: BTreeMap::new(), waiting: BTreeSet::new(), standing,
        };
        for step in steps {
            world.apply(step);
            prop_assert!(world.held.values().sum::<usize>() <= cap);
        }
        // From now on all requests end; then each who still wants a place gets one within a few rounds of asking.
        for _ in 0..100 {
            let holding: Vec<(u32, usize)> = world.held.iter().map(|(who, held)| (*who, *held)).collect();
            for (who, held) in holding {
                (0..held).for_each(|_| world.apply(Step::End { who }));
            }
            world.apply(Step::Pass(100));
            for who in world.waiting.clone() {
                world.ask(who, 1);
            }
        }
        prop_assert!(world.waiting.is_empty(), "{:?} wait beside free places: {:?}", world.waiting, world.cap);
    }

    /// Under contention no endpoint gets a second turn before all the others that wait had theirs.
    #[test]
    fn turns_go_round(cap in 1usize..5, many in 6u32..12) {
        let mut fair = FairCap::new(cap);
        let mut running: Vec<u32> = Vec::new();
        for who in 0..many {
            if fair.ask(EndpointId(who), 1, Standing::Proven, T0).0 == 1 { running.push(who); }
        }
        let mut turns = vec![0i32; many as usize];
        for _ in 0..200 {
            let done = running.remove(0);
            turns[done as usize] += 1;
            let called = fair.give_back(EndpointId(done), 1, T0);
            prop_assert_eq!(fair.ask(EndpointId(done), 3, Standing::Proven, T0).0, 0);
            for who in called {
                prop_assert_eq!(fair.ask(who, 3, Standing::Proven, T0).0, 1);
                running.push(who.0);
            }
        }
        let (least, most) = (turns.iter().min().copied(), turns.iter().max().copied());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{turns:?}");
    }
}
