//! Nodes that somebody else has put into ZooKeeper.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lock_zk::strangers::data(bytes);
    if let Ok(name) = std::str::from_utf8(bytes) {
        lock_zk::strangers::name(name);
    }
});
