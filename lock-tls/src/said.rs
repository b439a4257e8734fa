//! What rustls says of a failure, and the other side through it.

use std::error::Error as StdError;

use rustls::{CertificateError, Error as TlsError};

use crate::{Verdict, causes::causes};

pub(crate) fn verdict(failure: &(dyn StdError + 'static)) -> Option<Verdict> {
    causes(failure).find_map(|cause| match cause.downcast_ref() {
        Some(error) => of_tls(error),
        None => of_alert(&cause.to_string()),
    })
}

fn of_tls(error: &TlsError) -> Option<Verdict> {
    let found = match error {
        TlsError::AlertReceived(_) => return of_alert(&error.to_string()),
        // The second is an authority of the same name with another key.
        TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            Verdict::Untrusted
        }
        TlsError::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => Verdict::OtherName,
        TlsError::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Verdict::Expired,
        TlsError::InvalidCertificate(_) => Verdict::Unacceptable,
        TlsError::InvalidMessage(_) | TlsError::PeerIncompatible(_) | TlsError::PeerMisbehaved(_) => {
            Verdict::NoTls
        }
        _ => return None,
    };
    Some(found)
}

fn of_alert(text: &str) -> Option<Verdict> {
    let (_, alert) = text.split_once(ALERT)?;
    CERTIFICATE_ALERTS.contains(&alert).then_some(Verdict::Refused)
}

/// What rustls says of an alert that the other side has sent. HTTP/2 hands it on as text.
const ALERT: &str = "received fatal alert: ";

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
            assert_eq!(of(alert), Some(Verdict::Refused), "{alert:?}");
        }
        assert_eq!(of(AlertDescription::InternalError), None);
        assert_eq!(of(AlertDescription::CloseNotify), None);
    }
}
