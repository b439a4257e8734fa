//! Read-write locks of Curator's and ours.

use lock_core::{ErrorKind, Guard, RwLock};
use lock_testkit::live::{Turns, soon, until};
use lock_zk::client::{Acls, CreateMode};

use crate::peers::Meeting;

/// How often each of theirs and ours reads, and writes.
const EACH: usize = 5;

/// Who stands in line.
struct Turn {
    name: String,
    writes: bool,
}

pub(crate) async fn c18_readers_and_writers_of_theirs_and_ours_take_turns_in_order(meeting: &Meeting<'_>) {
    let name = meeting.name("read-write");
    let turns = Turns::new();
    let (first, user) = (meeting.user().await, meeting.user().await);
    let gate = first.rw_lock(&*name).unwrap().write().await.unwrap();
    let mut peer = meeting.peer().await;
    let (mut queue, mut ours) = (Vec::new(), Vec::new());
    for number in 0..EACH {
        for writes in [false, true] {
            let (mine, theirs) = (format!("ours-{number}-{writes}"), format!("theirs-{number}-{writes}"));
            let lock = user.rw_lock(&*name).unwrap();
            ours.push(turns.turn(mine.clone(), async move {
                if writes { lock.write().await.map(Guard::from) } else { lock.read().await }
            }));
            queue.push(Turn { name: mine, writes });
            meeting.in_line(&name, queue.len() + 1).await;
            let command = if writes { "write" } else { "read" };
            peer.tell(&format!("{command} /{name} {theirs} {}", turns.file().display())).await;
            queue.push(Turn { name: theirs, writes });
            meeting.in_line(&name, queue.len() + 1).await;
        }
    }
    gate.release().await.unwrap();
    for turn in ours {
        soon("a turn of ours", turn).await.unwrap();
    }
    until("the last of theirs has left", async || meeting.nodes(&name).await.is_empty()).await;

    let written = turns.written();
    let when = |what: &str, turn: &Turn| {
        let said = format!("{what} {}", turn.name);
        written.lines().position(|line| line == said || line.starts_with(&format!("{said} "))).expect(&said)
    };
    for (place, turn) in queue.iter().enumerate() {
        for ahead in queue[..place].iter().filter(|ahead| ahead.writes || turn.writes) {
            let (left, entered) = (when("leave", ahead), when("enter", turn));
            assert!(left < entered, "{} before {}:\n{written}", ahead.name, turn.name);
        }
    }
    for user in [first, user] {
        user.close().await.unwrap();
    }
}

pub(crate) async fn c18_readers_of_theirs_and_ours_read_together(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("together"), meeting.user().await);
    let lock: RwLock = user.rw_lock(&*name).unwrap();
    let ours = lock.read().await.unwrap();
    let mut theirs = meeting.peer().await;
    theirs.tell(&format!("hold-read /{name}")).await;
    assert_eq!(theirs.says().await, "held");
    assert!(lock.try_write().await.unwrap().is_none());
    let another = lock.try_read().await.unwrap().expect("nobody writes");
    let line = lock.inspect().await.unwrap();
    assert_eq!((line.holders().count(), line.waiters().count()), (3, 0));
    // What a reader's node would lose by it is its place.
    another.release().await.unwrap();
    ours.release().await.unwrap();
    theirs.release().await;
    let writing = lock.write().await.unwrap();
    assert_eq!(writing.downgrade().await.unwrap_err().kind(), ErrorKind::Unsupported);
    until("nobody is left", async || meeting.nodes(&name).await.is_empty()).await;
    user.close().await.unwrap();
}

pub(crate) async fn c8_a_reader_or_writer_that_is_killed_goes_with_its_session(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("killed"), meeting.user().await);
    let lock = user.rw_lock(&*name).unwrap();
    for hold in ["hold-read", "hold-write"] {
        let mut theirs = meeting.peer().await;
        theirs.tell(&format!("{hold} /{name}")).await;
        assert_eq!(theirs.says().await, "held");
        let next = tokio::spawn({
            let lock = lock.clone();
            async move { lock.write().await }
        });
        meeting.in_line(&name, 2).await;
        theirs.kill().await;
        soon("the grant", next).await.unwrap().unwrap().release().await.unwrap();
    }
    user.close().await.unwrap();
}

/// Curator since 5.5 (CURATOR-621) makes the reader that a writer becomes in the writer's own place.
pub(crate) async fn c1_a_writer_waits_for_a_writer_of_theirs_that_has_become_a_reader(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("downgrade"), meeting.user().await);
    let lock = user.rw_lock(&*name).unwrap();
    let writer = meeting.place(&name, "__WRIT__").await;
    let write = tokio::spawn(async move { lock.write().await });
    until("ours waits for the writer", async || meeting.is_watched(&writer).await).await;
    let reader = writer.replace("__WRIT__", "__READ__");
    let options = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
    meeting.spy.create(&reader, b"", &options).await.unwrap();
    meeting.spy.delete(&writer, None).await.unwrap();
    until("ours waits for the reader", async || {
        assert!(!write.is_finished(), "both hold");
        meeting.is_watched(&reader).await
    })
    .await;
    meeting.spy.delete(&reader, None).await.unwrap();
    soon("the grant", write).await.unwrap().unwrap().release().await.unwrap();
    user.close().await.unwrap();
}

/// A reader of kazoo waits for the last writer in line, also for one that waits for it.
pub(crate) async fn c15_kazoo_has_no_read_write_locks_to_share(meeting: &Meeting<'_>) {
    let (name, user) = (meeting.name("none"), meeting.user().await);
    let lock = user.rw_lock(&*name).unwrap();
    assert_eq!(lock.read().await.unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(lock.write().await.unwrap_err().kind(), ErrorKind::Unsupported);
    user.close().await.unwrap();
}
