//! `scheme://authority/path?options`, the way in which a store is named.

use std::{collections::BTreeMap, time::Duration};

use crate::error::{Error, ErrorKind, Result};

/// A store's URI, taken apart.
///
/// The authority may list several hosts, which is why this is not the general syntax of RFC 3986.
///
/// ```
/// use lock_core::Uri;
///
/// let uri: Uri = "memory://demo?ttl=10s".parse()?;
/// assert_eq!((uri.scheme(), uri.authority(), uri.path()), ("memory", "demo", ""));
/// # Ok::<(), lock_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Uri {
    scheme: String,
    authority: String,
    path: String,
    options: BTreeMap<String, String>,
}

impl Uri {
    /// What stands before `://`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// What stands between `://` and the next `/` or `?`.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands after the authority, without the `/` in front.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The options, to be taken one by one.
    #[must_use]
    pub fn options(&self) -> UriOptions {
        UriOptions { left: self.options.clone(), known: Vec::new() }
    }
}

/// Neither authority nor values: both may hold a password.
impl std::fmt::Debug for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&String> = self.options.keys().collect();
        f.debug_struct("Uri").field("scheme", &self.scheme).field("options", &keys).finish_non_exhaustive()
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidOption, message)
}

impl std::str::FromStr for Uri {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // The text itself is not repeated in an error: it may hold a password.
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| invalid("a store's URI looks like scheme://where?option=value".to_owned()))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let mut options = BTreeMap::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            if options.insert(key.to_string(), value.into_owned()).is_some() {
                return Err(invalid(format!("the option {key:?} is given twice")));
            }
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: path.to_owned(),
            options,
        })
    }
}

/// The options of a URI. Each reader takes those that it knows; what is left over at the end is an error.
#[derive(Clone)]
pub struct UriOptions {
    left: BTreeMap<String, String>,
    known: Vec<&'static str>,
}

impl UriOptions {
    /// Takes the option `key`, if it is given.
    pub fn take(&mut self, key: &'static str) -> Option<String> {
        self.known.push(key);
        self.left.remove(key)
    }

    /// Takes the option `key` as a duration, such as `10s`, `500ms` or `1m 30s`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] when it is not one.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<Duration>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let duration = humantime::parse_duration(&value).map_err(|source| {
            invalid(format!("the option {key} is a duration such as 10s, not {value:?}")).with_source(source)
        })?;
        Ok(Some(duration))
    }

    /// Takes the option `key`, which is one of these names, as what the name stands for.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] when it is none of them.
    pub fn choice<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let chosen = choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice);
        let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let refused = || invalid(format!("the option {key} is one of: {}; not {value:?}", names()));
        chosen.map(Some).ok_or_else(refused)
    }

    /// Takes `alias` for another name of the option `key`, which somebody else takes later.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] when both are given.
    pub fn rename(&mut self, alias: &'static str, key: &'static str) -> Result<()> {
        let Some(value) = self.take(alias) else { return Ok(()) };
        match self.left.insert(key.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(invalid(format!("{alias} is another name of {key}: give one of them"))),
        }
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidOption`] for an option that nobody took, with those that there are. A misspelt
    /// `ttl` must not be ignored: the lock would work, with another safety margin than its user believes.
    pub fn finish(self) -> Result<()> {
        let Some(unknown) = self.left.keys().next() else { return Ok(()) };
        Err(invalid(format!("there is no option {unknown:?}; the options are: {}", self.known.join(", "))))
    }
}

impl std::fmt::Debug for UriOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UriOptions").field("known", &self.known).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_parts_come_out() {
        let uri: Uri = "etcd://u:p@h1:2379,h2:2379/billing/eu?ttl=1m%2030s&owner=a+b".parse().unwrap();
        assert_eq!(
            (uri.scheme(), uri.authority(), uri.path()),
            ("etcd", "u:p@h1:2379,h2:2379", "billing/eu")
        );
        let mut options = uri.options();
        assert_eq!(options.duration("ttl").unwrap(), Some(Duration::from_secs(90)));
        assert_eq!(options.take("owner").as_deref(), Some("a b"));
        options.finish().unwrap();
    }

    #[test]
    fn an_unknown_option_is_refused_with_those_that_exist() {
        let mut options = "memory://x?tll=10s".parse::<Uri>().unwrap().options();
        options.take("ttl");
        options.take("owner");
        let error = options.finish().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidOption);
        assert_eq!(error.to_string(), r#"there is no option "tll"; the options are: ttl, owner"#);
    }

    #[test]
    fn malformed_options_are_refused() {
        assert!("memory".parse::<Uri>().is_err());
        assert!("memory://x?ttl=1s&ttl=2s".parse::<Uri>().is_err());
        let mut options = "memory://x?ttl=soon".parse::<Uri>().unwrap().options();
        let error = options.duration("ttl").unwrap_err();
        assert_eq!(error.to_string(), r#"the option ttl is a duration such as 10s, not "soon""#);
    }

    #[test]
    fn an_alias_is_another_name_and_not_another_value() {
        let options = |text: &str| text.parse::<Uri>().unwrap().options();
        let mut renamed = options("zk://h?session_timeout=15s");
        renamed.rename("session_timeout", "ttl").unwrap();
        assert_eq!(renamed.take("ttl").as_deref(), Some("15s"));
        let both = options("zk://h?session_timeout=15s&ttl=15s").rename("session_timeout", "ttl");
        assert_eq!(both.unwrap_err().kind(), ErrorKind::InvalidOption);
    }

    #[test]
    fn a_password_does_not_print() {
        let uri: Uri = "etcd://user:hunter2@host/ns?password=hunter2".parse().unwrap();
        let printed = format!("{uri:?} {:?} {}", uri.options(), uri.options().finish().unwrap_err());
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(!"hunter2".parse::<Uri>().unwrap_err().to_string().contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in any::<String>()) {
            if let Ok(uri) = text.parse::<Uri>() {
                let _ = uri.options().duration("ttl");
            }
        }
    }
}
