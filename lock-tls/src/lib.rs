//! TLS for the stores of yourturn: which files are used, what they hold, and what a failure means.
//!
//! Every store with servers takes the same options, [`Tls`], also when it is built without TLS: then who asks
//! for it is told what is missing. The store's feature `tls` turns on the feature `rustls` of this crate,
//! which reads the files ([`Pem`]) and knows what TLS says ([`Verdict`]).
//!
//! For implementors of a store; users find [`Tls`] in the store's own crate.
#![forbid(unsafe_code)]

mod causes;
#[cfg(feature = "rustls")]
mod files;
mod options;
#[cfg(feature = "rustls")]
mod said;
mod verdict;

pub use causes::is_hung_up;
#[cfg(feature = "rustls")]
pub use files::{Pem, system_authorities};
use lock_core::{Error, ErrorKind};
pub use options::Tls;
pub use verdict::Verdict;

/// What a build without TLS answers who asks for it. `krate` is the store's, and `feature` the one of the
/// facade that turns on its feature `tls`.
#[must_use]
pub fn left_out(store: &str, feature: &str, krate: &str) -> Error {
    invalid(format!(
        "TLS with {store} needs the feature `{feature}` of yourturn (`tls` of {krate}), which this build does not have"
    ))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c13_a_build_without_tls_names_the_feature_that_it_needs() {
        let error = left_out("etcd", "etcd-tls", "lock-etcd");
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        let said = "TLS with etcd needs the feature `etcd-tls` of yourturn (`tls` of lock-etcd)";
        assert!(error.to_string().starts_with(said), "{error}");
    }
}
