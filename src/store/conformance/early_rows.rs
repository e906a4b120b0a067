//! Asking for one waiting delivery may make a store write what it would have written later. The order stays.

use super::Step;

/// Steps after which younger deliveries of an object may lie on disk while older ones do not.
pub fn early_rows() -> [Vec<Step>; 2] {
    [behind_a_full_lane(), behind_what_was_not_placed()]
}

fn accept(objects: &[u8]) -> Step {
    Step::Accept { objects: objects.to_vec() }
}

/// Much of one object, of which two in the middle are asked for.
fn behind_a_full_lane() -> Vec<Step> {
    let mut steps: Vec<Step> = [&[4][..], &[4], &[0; 4], &[0; 5], &[0; 4], &[0]].map(accept).into();
    steps.push(Step::Start { endpoint: false, n: 2 });
    steps.extend([0, 0].map(|how| Step::Finish { endpoint: false, how }));
    steps.push(Step::Resend { pick: 18 });
    steps.extend([&[0; 5][..], &[0; 4], &[0], &[0], &[0], &[0]].map(accept));
    steps.push(Step::Cancel { pick: 21 });
    steps.push(accept(&[0]));
    steps.push(Step::Resend { pick: 27 });
    steps
}

/// Several objects; the youngest but one is asked for, then the store is opened anew.
fn behind_what_was_not_placed() -> Vec<Step> {
    let objects: [&[u8]; 6] = [&[4, 3, 4, 0, 4], &[0, 3, 1, 0], &[0], &[2, 3, 2], &[2, 4], &[0, 0, 3]];
    let mut steps: Vec<Step> = objects.map(accept).into();
    steps.push(Step::Start { endpoint: false, n: 3 });
    steps.extend([&[3, 0, 0], &[0, 0, 0]].map(|objects| accept(objects)));
    steps.push(Step::Finish { endpoint: false, how: 0 });
    steps.push(Step::Start { endpoint: false, n: 1 });
    steps.extend([&[4, 1, 2, 0, 0][..], &[0, 2], &[0]].map(accept));
    steps.extend([Step::Retry { pick: 90 }, Step::Reopen]);
    steps
}
