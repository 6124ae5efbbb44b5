//! Secrets: named by definitions, and resolved where they are used.
//!
//! A definition holds the name of a secret. The worker's configuration says which
//! environment variable or file holds the text, and to which hosts the text may be sent.
//! Definitions can name no other variables or files. A secret is read at each use, so a
//! file that is replaced serves the next call.
//!
//! The text is in a [`Secret`], which cannot be printed or serialised. A [`Scrubber`]
//! removes the text from everything that a service sends back.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use almanac_base::names::is_secret_name;
use almanac_base::percent;
use base64::Engine as _;
use base64::prelude::{
    BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD,
};
use reqwest::Url;
use serde_json::{Number, Value};

use super::egress::HostPattern;

/// Maximum size of a secret, in bytes.
const SIZE_LIMIT: u64 = 64 * 1024;
/// Text that replaces a secret.
const MARK: &str = "***";
/// Minimum length of a text that is replaced, in bytes. Shorter texts are too common.
const SHORTEST: usize = 4;

/// A secret text. The type cannot be printed, compared or serialised.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text as a secret.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// Returns the text, for the place that needs it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)
    }
}

/// An entry of `--secret`: `NAME=env:VARIABLE` or `NAME=file:/path`, each with the hosts
/// that the secret may be sent to: `NAME=env:VARIABLE@HOST@HOST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEntry {
    name: String,
    source: Source,
    hosts: Vec<HostPattern>,
}

/// A secret's name and the hosts that the secret may be sent to. Without hosts, every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    name: String,
    hosts: Vec<HostPattern>,
}

impl Binding {
    /// Refuses a URL that the secret may not be sent to.
    pub(super) fn check(&self, url: &Url) -> Result<(), SecretError> {
        if self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(url)) {
            return Ok(());
        }
        let hosts: Vec<String> = self.hosts.iter().map(HostPattern::to_string).collect();
        Err(SecretError::Host {
            name: self.name.clone(),
            host: url.host_str().unwrap_or_default().to_owned(),
            bound: hosts.join(", "),
        })
    }
}

/// A place that holds a secret text: `env:VARIABLE` or `file:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Env(String),
    File(PathBuf),
}

impl FromStr for Source {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        // The prefix is read in any case, as schemes of URIs are.
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        match (scheme.to_ascii_lowercase().as_str(), rest) {
            ("env", variable) if is_variable(variable) => Ok(Self::Env(variable.to_owned())),
            ("env", _) => Err("VARIABLE is not a valid name"),
            ("file", path) if Path::new(path).is_absolute() => Ok(Self::File(path.into())),
            ("file", _) => Err("the file's path must begin with `/`"),
            _ => Err("the source must be `env:VARIABLE` or `file:/path`"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(variable) => write!(f, "env:{variable}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Source {
    /// Reads the current text. `name` is the secret's name, for messages.
    pub(crate) fn read(&self, name: &str) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(variable) => variable_text(variable).map_err(|why| {
                let (name, variable) = (name.to_owned(), variable.clone());
                SecretError::Variable {
                    name,
                    variable,
                    why,
                }
            })?,
            Self::File(path) => file_text(path).map_err(|why| {
                let (name, path) = (name.to_owned(), path.clone());
                SecretError::File { name, path, why }
            })?,
        };
        Ok(Secret(text))
    }
}

/// Error of a secret that cannot be used. The messages name names and places, never texts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The entry is malformed. The entry is not shown, because someone may have written the
    /// secret itself.
    #[error("a secret must be NAME=env:VARIABLE or NAME=file:/path, or either with @HOST; {0}")]
    Entry(&'static str),
    /// Two entries have the same name.
    #[error("the secret `{0}` is given twice")]
    Twice(String),
    /// No entry has this name.
    #[error(
        "the worker has no secret `{0}`; hint: --secret {0}=env:VARIABLE or {0}=file:/path adds it"
    )]
    Unknown(String),
    /// The environment variable cannot be read.
    #[error("the secret `{name}`: the environment variable {variable} {why}")]
    Variable {
        name: String,
        /// Name of the environment variable.
        variable: String,
        /// Problem of the variable.
        why: &'static str,
    },
    /// The file cannot be read.
    #[error("the secret `{name}`: {}: {why}", path.display())]
    File {
        name: String,
        path: PathBuf,
        /// Problem of the file.
        why: String,
    },
    /// The secret is bound to other hosts.
    #[error("the secret `{name}` is not sent to {host}: --secret binds it to {bound}")]
    Host {
        name: String,
        /// The host that was called.
        host: String,
        /// The hosts that the secret is bound to.
        bound: String,
    },
    /// The secret does not have the form that the authentication scheme needs.
    #[error("the secret `{name}` {why}")]
    Shape {
        name: String,
        /// Form that the secret must have.
        why: &'static str,
    },
}

impl FromStr for SecretEntry {
    type Err = SecretError;

    fn from_str(entry: &str) -> Result<Self, SecretError> {
        let bad = SecretError::Entry;
        let (name, source) = entry.split_once('=').ok_or(bad("`=` is missing"))?;
        if !is_secret_name(name) {
            return Err(bad(
                "the name can have only letters, digits, `-`, `_` and `.`",
            ));
        }
        let mut parts = source.split('@');
        let source = parts.next().unwrap_or_default();
        let hosts = parts.map(str::parse).collect::<Result<_, _>>();
        let hosts = hosts
            .map_err(|_| bad("`@` must be followed by HOST, HOST:PORT, *.DOMAIN or an address"))?;
        let source = source.parse().map_err(bad)?;
        Ok(Self {
            name: name.to_owned(),
            source,
            hosts,
        })
    }
}

/// Returns `true` if an environment variable can have this name.
pub(super) fn is_variable(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars().all(good) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// The secrets that definitions may name.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    by_name: BTreeMap<String, (Source, Vec<HostPattern>)>,
}

impl Secrets {
    /// Opens the secrets of these entries. Each is read once, to see that it can be read.
    pub fn open(entries: Vec<SecretEntry>) -> Result<Self, SecretError> {
        let mut secrets = Self::default();
        for entry in entries {
            let SecretEntry {
                name,
                source,
                hosts,
            } = entry;
            let bound = (source, hosts);
            if secrets.by_name.insert(name.clone(), bound).is_some() {
                return Err(SecretError::Twice(name));
            }
            secrets.read(&name)?;
        }
        Ok(secrets)
    }

    /// Returns the names of the secrets that may be sent to every host.
    pub fn unbound(&self) -> impl Iterator<Item = &str> {
        let unbound = self
            .by_name
            .iter()
            .filter(|(_, (_, hosts))| hosts.is_empty());
        unbound.map(|(name, _)| name.as_str())
    }

    /// Reads the current text of a secret, and the hosts that it is bound to.
    pub(super) fn read(&self, name: &str) -> Result<(Secret, Binding), SecretError> {
        let found = self.by_name.get(name);
        let (source, hosts) = found.ok_or_else(|| SecretError::Unknown(name.to_owned()))?;
        let text = source.read(name)?;
        let binding = Binding {
            name: name.to_owned(),
            hosts: hosts.clone(),
        };
        Ok((text, binding))
    }
}

fn variable_text(variable: &str) -> Result<String, &'static str> {
    match std::env::var(variable) {
        Ok(text) if text.is_empty() => Err("is empty"),
        Ok(text) => Ok(text),
        Err(std::env::VarError::NotPresent) => Err("is not set"),
        Err(std::env::VarError::NotUnicode(_)) => Err("is not UTF-8"),
    }
}

/// Reads the text of a file, without the end of its last line.
fn file_text(path: &Path) -> Result<String, String> {
    // The check comes before the file is opened, since opening a pipe would wait for a
    // writer.
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("is not a file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(SIZE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > SIZE_LIMIT {
        return Err(format!("is larger than {SIZE_LIMIT} bytes"));
    }
    let mut text = String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    Ok(text)
}

/// Removes secrets from the texts of services.
#[derive(Clone, Default)]
pub(super) struct Scrubber {
    /// The texts to remove, the longest first, so that a text that contains another is
    /// removed whole.
    texts: Vec<String>,
    /// The same texts in lower case, as the names of headers and of hosts are.
    lower: Vec<String>,
}

impl fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scrubber({})", self.texts.len())
    }
}

impl Scrubber {
    /// Adds a secret, in all the forms in which a service may send it back.
    pub(super) fn know(&mut self, secret: &str) {
        let quoted = Value::from(secret).to_string();
        // The quotation marks are left out. The secret itself may end with one.
        let quoted = &quoted[1..quoted.len() - 1];
        self.texts.extend([
            secret.to_owned(),
            quoted.to_owned(),
            quoted.replace('/', "\\/"),
            percent::encode(secret),
            percent::encode_lower(secret),
            BASE64_STANDARD.encode(secret),
            BASE64_STANDARD_NO_PAD.encode(secret),
            BASE64_URL_SAFE.encode(secret),
            BASE64_URL_SAFE_NO_PAD.encode(secret),
        ]);
        self.texts.retain(|text| text.len() >= SHORTEST);
        let by_length = |text: &String| std::cmp::Reverse(text.len());
        self.texts.sort_by_key(by_length);
        self.texts.dedup();
        let lower = self.texts.iter().map(|text| text.to_ascii_lowercase());
        self.lower = lower.collect();
    }

    pub(super) fn text(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in &self.texts {
            if clean.contains(secret) {
                clean = clean.replace(secret, MARK);
            }
        }
        clean
    }

    /// Removes secrets from a text that may have been put into lower case here: the name of
    /// a header, or an error, which may name a host.
    pub(super) fn lowered(&self, text: &str) -> String {
        let clean = self.text(text);
        let replaced = |clean: String, secret: &String| clean.replace(secret, MARK);
        self.lower.iter().fold(clean, replaced)
    }

    pub(super) fn bytes(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut clean = bytes;
        for secret in &self.texts {
            clean = without(clean, secret.as_bytes());
        }
        clean
    }

    pub(super) fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(key, value)| (self.text(&key), self.value(value)))
                .collect(),
            Value::Number(number) if self.is_number(&number) => Value::from(MARK),
            other => other,
        }
    }

    /// Returns `true` if a number shows a secret of digits, perhaps rounded.
    fn is_number(&self, number: &Number) -> bool {
        let shown = number.to_string();
        self.texts.iter().any(|secret| {
            shown.contains(secret)
                || (secret.bytes().all(|byte| byte.is_ascii_digit())
                    && secret.parse::<f64>().ok() == number.as_f64())
        })
    }
}

/// Replaces each occurrence of `secret`, which is not empty, by the mark.
fn without(bytes: Vec<u8>, secret: &[u8]) -> Vec<u8> {
    if !bytes.windows(secret.len()).any(|window| window == secret) {
        return bytes;
    }
    let mut clean = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(secret) {
            clean.extend_from_slice(MARK.as_bytes());
            rest = after;
        } else {
            clean.push(*first);
            rest = after;
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scrubber(secret: &str) -> Scrubber {
        let mut scrubber = Scrubber::default();
        scrubber.know(secret);
        scrubber
    }

    #[test]
    fn a_secret_is_found_in_each_form_that_is_known() {
        let secret = "a/b?\u{ff}>~\"";
        let all = scrubber(secret);
        for form in [
            secret,
            r#"a/b?ÿ>~\""#,
            r#"a\/b?ÿ>~\""#,
            "a%2Fb%3F%C3%BF%3E~%22",
            "a%2fb%3f%c3%bf%3e~%22",
            "YS9iP8O/Pn4i",
            "YS9iP8O_Pn4i",
        ] {
            assert_eq!(all.text(&format!("<{form}>")), "<***>", "{form}");
            let bytes = format!("<{form}>").into_bytes();
            assert_eq!(all.bytes(bytes), b"<***>", "{form}");
        }
        let padded = scrubber("hunter2~~?");
        for form in [
            "aHVudGVyMn5+Pw==",
            "aHVudGVyMn5+Pw",
            "aHVudGVyMn5-Pw==",
            "aHVudGVyMn5-Pw",
        ] {
            assert_eq!(padded.text(&format!("<{form}>")), "<***>", "{form}");
        }
    }

    #[test]
    fn a_secret_is_found_where_it_was_put_into_lower_case() {
        let all = scrubber("Hunter2/TOKEN");
        for form in [
            "Hunter2/TOKEN",
            "x-hunter2/token",
            "no such host hunter2%2ftoken.invalid",
            "shvudgvymi9ut0tftg==",
        ] {
            let clean = all.lowered(form);
            assert!(clean.contains("***"), "{form}: {clean}");
        }
        // What others say in lower case may be another word.
        assert_eq!(all.text("hunter2/token"), "hunter2/token");
    }

    #[test]
    fn a_secret_of_digits_is_found_in_numbers() {
        let clean = |secret: &str, value: Value| scrubber(secret).value(value);
        assert_eq!(
            clean("482913", json!({ "pin": 482_913 })),
            json!({ "pin": "***" })
        );
        assert_eq!(
            clean("482913", json!([-482_913, 14_829_137_u64])),
            json!(["***", "***"])
        );
        assert_eq!(
            clean("482913", json!([4829, 1.5, true])),
            json!([4829, 1.5, true])
        );
        // More digits than a number keeps.
        let large: Value = serde_json::from_str("12345678901234567890123").unwrap();
        assert_eq!(clean("12345678901234567890123", large), json!("***"));
    }
}
