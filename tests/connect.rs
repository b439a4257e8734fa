//! Opening a store by URI, through the facade alone.
#![allow(clippy::unwrap_used)]

use yourturn::{Coordinator, ErrorKind};

async fn refusal(uri: &str) -> (ErrorKind, String) {
    let error = Coordinator::connect(uri).await.unwrap_err();
    (error.kind(), error.to_string())
}

#[tokio::test]
async fn coordinators_of_one_uri_share_a_store_and_others_do_not() {
    let a = Coordinator::connect("memory://shared?ttl=10s").await.unwrap();
    let b = Coordinator::connect("memory://shared?owner=b").await.unwrap();
    let other = Coordinator::connect("memory://other").await.unwrap();
    let namespace = Coordinator::connect("memory://shared/namespace").await.unwrap();
    let guard = a.mutex("x").unwrap().lock().await.unwrap();
    assert!(b.mutex("x").unwrap().try_lock().await.unwrap().is_none());
    assert!(other.mutex("x").unwrap().try_lock().await.unwrap().is_some());
    assert!(namespace.mutex("x").unwrap().try_lock().await.unwrap().is_some());
    let named = std::sync::Arc::new(yourturn::Memory::named("shared"));
    let by_hand = Coordinator::open(named, yourturn::Options::default()).await.unwrap();
    assert!(by_hand.mutex("x").unwrap().try_lock().await.unwrap().is_none());
    guard.release().await.unwrap();
    let guard = b.mutex("x").unwrap().try_lock().await.unwrap().unwrap();
    let line = a.mutex("x").unwrap().inspect().await.unwrap();
    assert_eq!(line.holders().map(|holder| &*holder.owner).collect::<Vec<_>>(), ["b"]);
    guard.release().await.unwrap();
}

#[tokio::test]
async fn c13_a_scheme_that_is_not_there_is_refused_with_those_that_are() {
    let (kind, message) = refusal("mongo://user:secret@h:27017/ns?password=secret").await;
    assert_eq!(kind, ErrorKind::UnknownScheme);
    assert!(message.starts_with("connect: no store is called \"mongo\"; it has memory://"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[tokio::test]
async fn c13_an_option_that_is_unknown_or_malformed_is_refused() {
    for (uri, expected) in [
        ("memory://x?tll=1s", r#"connect: there is no option "tll"; the options are: ttl, owner"#),
        ("memory://x?ttl=1", r#"connect: the option ttl is a duration such as 10s, not "1""#),
        ("memory://x?ttl=0s", "connect: a ttl is between 1s and 86400s, not 0ns"),
        ("memory://x?ttl=1s&ttl=2s", r#"connect: the option "ttl" is given twice"#),
        ("memory://?ttl=1s", "connect: a store in memory has a name: memory://name"),
        ("memory", "connect: a store's URI looks like scheme://where?option=value"),
    ] {
        assert_eq!(refusal(uri).await, (ErrorKind::InvalidOption, expected.to_owned()), "{uri}");
    }
}
