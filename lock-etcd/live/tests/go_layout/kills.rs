//! SIGKILL, on both sides.

use lock_testkit::live::{asking, soon};

use crate::peers::Cluster;

pub(crate) async fn c8_whoever_is_killed_delays_the_others_no_longer_than_its_ttl(cluster: &Cluster) {
    let user = cluster.user().await;

    // A holder of theirs.
    let mutex = user.mutex("killed").unwrap();
    let mut theirs = cluster.their_lock("killed");
    theirs.says().await;
    let wait = asking(&mutex);
    cluster.in_line("killed", 2).await;
    theirs.kill().await;
    let guard = soon("the turn after a killed holder of theirs", wait).await.unwrap().unwrap();

    // A waiter of theirs, and one of ours behind it.
    let mut theirs = cluster.their_lock("killed");
    cluster.in_line("killed", 2).await;
    let wait = asking(&mutex);
    cluster.in_line("killed", 3).await;
    theirs.kill().await;
    guard.release().await.unwrap();
    let guard = soon("the turn after a killed waiter of theirs", wait).await.unwrap().unwrap();

    // A waiter of ours, and one of theirs behind it.
    let mut ours = cluster.our_process("killed");
    cluster.in_line("killed", 2).await;
    let mut theirs = cluster.their_lock("killed");
    cluster.in_line("killed", 3).await;
    ours.kill().await;
    guard.release().await.unwrap();
    theirs.says().await;
    theirs.stop().await;

    // A holder of ours.
    let mut ours = cluster.our_process("killed");
    assert_eq!(ours.says().await, "held");
    let mut theirs = cluster.their_lock("killed");
    cluster.in_line("killed", 2).await;
    ours.kill().await;
    theirs.says().await;
    theirs.stop().await;

    user.close().await.unwrap();
    cluster.is_empty().await;
}
