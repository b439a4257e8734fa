//! Why a member could not be spoken with, when TLS says so on either side.

use std::error::Error as StdError;

use lock_core::ErrorKind;
use rustls::{CertificateError, Error as TlsError};

use crate::error::causes;

/// What rustls says of an alert that the other side has sent. HTTP/2 hands it on as text.
const ALERT: &str = "received fatal alert: ";

/// What kind of failure it is when every member fails so, and what to do. Nothing for what may be over at the
/// next attempt: silence, a connection that breaks.
pub(crate) fn verdict(cause: &(dyn StdError + 'static)) -> Option<(ErrorKind, &'static str)> {
    causes(cause).find_map(|cause| match cause.downcast_ref() {
        Some(error) => of_tls(error),
        None => of_alert(&cause.to_string()),
    })
}

fn of_alert(text: &str) -> Option<(ErrorKind, &'static str)> {
    let (_, alert) = text.split_once(ALERT)?;
    CERTIFICATE_ALERTS.contains(&alert).then_some(REFUSED)
}

/// Alerts about our certificate. Others say that something is wrong over there.
const CERTIFICATE_ALERTS: [&str; 8] = [
    "AccessDenied",
    "BadCertificate",
    "CertificateExpired",
    "CertificateRequired",
    "CertificateRevoked",
    "CertificateUnknown",
    "UnknownCA",
    "UnsupportedCertificate",
];

const REFUSED: (ErrorKind, &str) = (
    ErrorKind::Denied,
    "etcd refuses the TLS connection: it demands a client certificate (options cert and key), or does not take this one",
);

fn of_tls(error: &TlsError) -> Option<(ErrorKind, &'static str)> {
    let found = match error {
        TlsError::AlertReceived(_) => return of_alert(&error.to_string()),
        // The second is an authority of the same name with another key.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => (
            ErrorKind::InvalidOption,
            "etcd's certificate is signed by no authority that is trusted here: name the right one with the option ca",
        ),
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => (
            ErrorKind::InvalidOption,
            "etcd's certificate is valid for other names than the one it was asked for: see the option server_name",
        ),
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => (
            ErrorKind::Unavailable,
            "etcd's certificate has expired or is not valid yet: it must be renewed, or this machine's clock is wrong",
        ),
        TlsError::InvalidCertificate(_) => (ErrorKind::InvalidOption, "etcd's certificate is not acceptable"),
        TlsError::InvalidMessage(_) | TlsError::PeerIncompatible(_) | TlsError::PeerMisbehaved(_) => (
            ErrorKind::InvalidOption,
            "what answers does not speak TLS as etcd does: does it serve without TLS?",
        ),
        _ => return None,
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;

    use super::*;

    #[test]
    fn alerts_about_our_certificate_are_told_from_others() {
        let of = |alert| verdict(&TlsError::AlertReceived(alert));
        for alert in [
            AlertDescription::AccessDenied,
            AlertDescription::BadCertificate,
            AlertDescription::CertificateExpired,
            AlertDescription::CertificateRequired,
            AlertDescription::CertificateRevoked,
            AlertDescription::CertificateUnknown,
            AlertDescription::UnknownCA,
            AlertDescription::UnsupportedCertificate,
        ] {
            assert_eq!(of(alert), Some(REFUSED), "{alert:?}");
        }
        assert_eq!(of(AlertDescription::InternalError), None);
        assert_eq!(of(AlertDescription::CloseNotify), None);
    }
}
