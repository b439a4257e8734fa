//! Keys and values that somebody else has put into etcd.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lock_etcd::strangers::value(bytes);
    lock_etcd::strangers::key(bytes);
});
