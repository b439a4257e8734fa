//! URIs: parsed or refused, by every store's options too.
#![no_main]

use lock_core::Uri;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(uri) = text.parse::<Uri>() else { return };
    let _refused = lock_etcd::Config::from_uri(&uri, &mut uri.options());
    let _refused = lock_zk::Config::from_uri(&uri, &mut uri.options());
    let _refused = uri.options().duration("ttl");
});
