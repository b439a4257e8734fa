//! Names of locks: what is one comes back from its component, which reaches into no other.
#![no_main]

use lock_core::Name;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<Name>() {
        let component = name.encode();
        assert!(component.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._%".contains(&byte)));
        assert!(component != "." && component != "..");
        assert_eq!(Name::decode(&component).unwrap(), name);
    }
    if let Ok(name) = Name::decode(text) {
        assert_eq!(name.encode(), text);
    }
});
