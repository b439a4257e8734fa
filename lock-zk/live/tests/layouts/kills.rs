//! SIGKILL, on both sides.

use lock_testkit::live::{asking, soon};

use crate::peers::Meeting;

pub(crate) async fn c8_whoever_is_killed_delays_the_others_no_longer_than_its_session(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("killed"), meeting.user().await);

    // A holder of theirs.
    let mutex = user.mutex(&*name).unwrap();
    let mut theirs = meeting.their_holder(&name).await;
    let wait = asking(&mutex);
    meeting.in_line(&name, 2).await;
    theirs.kill().await;
    let guard = soon("the turn after a killed holder of theirs", wait).await.unwrap().unwrap();

    // A waiter of theirs, and one of ours behind it.
    let mut theirs = meeting.peer().await;
    theirs.tell(&format!("hold /{name}")).await;
    meeting.in_line(&name, 2).await;
    let wait = asking(&mutex);
    meeting.in_line(&name, 3).await;
    theirs.kill().await;
    guard.release().await.unwrap();
    let guard = soon("the turn after a killed waiter of theirs", wait).await.unwrap().unwrap();

    // A waiter of ours, and one of theirs behind it.
    let mut ours = meeting.our_process(&name);
    meeting.in_line(&name, 2).await;
    let mut theirs = meeting.peer().await;
    theirs.tell(&format!("hold /{name}")).await;
    meeting.in_line(&name, 3).await;
    ours.kill().await;
    guard.release().await.unwrap();
    assert_eq!(theirs.says().await, "held");
    theirs.release().await;

    // A holder of ours.
    let mut theirs = meeting.peer().await;
    let mut ours = meeting.our_process(&name);
    assert_eq!(ours.says().await, "held");
    theirs.tell(&format!("hold /{name}")).await;
    meeting.in_line(&name, 2).await;
    ours.kill().await;
    assert_eq!(theirs.says().await, "held");
    theirs.release().await;

    user.close().await.unwrap();
    meeting.in_line(&name, 0).await;
}
