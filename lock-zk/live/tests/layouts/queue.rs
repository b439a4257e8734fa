//! One queue of theirs and ours.

use lock_testkit::live::{Turns, asking, soon, until};

use crate::peers::Meeting;

const EACH: usize = 10;

/// Every other one is ours; of those, some share a session. Tokens of ours compare with theirs.
pub(crate) async fn c2_ten_of_theirs_and_ten_of_ours_take_turns_in_the_order_in_which_they_came(
    meeting: &Meeting<'_>,
) {
    let name = meeting.name("queue");
    let turns = Turns::new();
    let first = meeting.user().await;
    let gate = first.mutex(&*name).unwrap().lock().await.unwrap();
    let users = [meeting.user().await, meeting.user().await, meeting.user().await];
    let mut peer = meeting.peer().await;
    let mut ours = Vec::new();
    for number in 0..EACH {
        ours.push(turns.ours(&users[number % users.len()], &name, number));
        meeting.in_line(&name, 2 * number + 2).await;
        peer.tell(&format!("turn /{name} theirs{number} {}", turns.file().display())).await;
        meeting.in_line(&name, 2 * number + 3).await;
    }
    let before = gate.token().get();
    gate.release().await.unwrap();
    for turn in ours {
        soon("a turn of ours", turn).await.unwrap();
    }
    until("the last of theirs has left", async || meeting.nodes(&name).await.is_empty()).await;
    turns.were_in_order(EACH, before);
    for user in users.iter().chain([&first]) {
        user.close().await.unwrap();
    }
}

pub(crate) async fn c4_a_turn_takes_one_listing_however_many_have_gone(meeting: &Meeting<'_>) {
    let name = meeting.name("few");
    let (tap, user) = meeting.counted_user().await;
    let mut ahead = Vec::new();
    for _ in 0..EACH {
        ahead.push(meeting.place(&name, meeting.fleet.mark()).await);
    }
    let wait = asking(&user.mutex(&*name).unwrap());
    meeting.in_line(&name, EACH + 1).await;
    let nodes = meeting.nodes(&name).await.into_iter().map(|node| format!("/{name}/{node}"));
    let own = nodes.into_iter().find(|node| !ahead.contains(node)).unwrap();
    for path in [&own, ahead.last().unwrap()] {
        until("it waits", async || meeting.is_watched(path).await).await;
    }
    let before = tap.requests();
    // The nearest goes last, and wakes it.
    for path in &ahead {
        meeting.spy.delete(path, None).await.unwrap();
    }
    let guard = soon("the grant", wait).await.unwrap().unwrap();
    assert_eq!(tap.requests() - before, 1);
    guard.release().await.unwrap();
    user.close().await.unwrap();
}
