//! Digest access authentication (RFC 7616), the client's side.
//!
//! The client supports `qop=auth` or none, with MD5, SHA-256 and their `-sess` forms. Of
//! several challenges the strongest is answered. `auth-int` alone is not supported.

use md5::{Digest as _, Md5};
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::Sha256;

use super::super::secrets::Secret;

/// A challenge that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    session: bool,
    /// `true` for `qop=auth`, `false` for none.
    qop: bool,
    userhash: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(Md5::digest(text)),
            Self::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }
}

/// Returns the strongest challenge of `WWW-Authenticate` headers that can be answered.
pub(super) fn strongest<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Challenge> {
    headers
        .flat_map(challenges)
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("digest"))
        .filter_map(|(_, parameters)| Challenge::of(&parameters))
        .max_by_key(|challenge| challenge.algorithm)
}

type Parameters = Vec<(String, String)>;

impl Challenge {
    fn of(parameters: &Parameters) -> Option<Self> {
        let get = |name: &str| {
            let mut found = parameters.iter().filter(|(key, _)| key == name);
            found.next().map(|(_, value)| value.clone())
        };
        let name = get("algorithm").unwrap_or_else(|| "MD5".to_owned());
        let name = name.to_ascii_lowercase();
        let (name, session) = match name.strip_suffix("-sess") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let algorithm = match name {
            "md5" => Algorithm::Md5,
            "sha-256" => Algorithm::Sha256,
            _ => return None,
        };
        let qop = match get("qop") {
            None => false,
            Some(list) => {
                let mut each = list.split(',').map(str::trim);
                if !each.any(|one| one.eq_ignore_ascii_case("auth")) {
                    return None;
                }
                true
            }
        };
        Some(Self {
            realm: get("realm").unwrap_or_default(),
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm,
            session,
            qop,
            userhash: get("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }

    /// Returns the `Authorization` header for a request of `uri`, which is a path and
    /// query.
    pub(super) fn answer(
        &self,
        method: &str,
        uri: &str,
        username: &str,
        password: &Secret,
    ) -> Option<String> {
        let mut bytes = [0_u8; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let cnonce = hex::encode(bytes);
        self.answer_with(&cnonce, method, uri, username, password)
    }

    fn answer_with(
        &self,
        cnonce: &str,
        method: &str,
        uri: &str,
        username: &str,
        password: &Secret,
    ) -> Option<String> {
        // These characters can be escaped in a quoted string, but servers differ in the
        // text that they then hash.
        let awkward = |text: &str| {
            text.chars()
                .any(|c| c == '"' || c == '\\' || c.is_control())
        };
        if awkward(username) || awkward(uri) || awkward(&self.realm) || awkward(&self.nonce) {
            return None;
        }
        let hash = |text: &str| self.algorithm.hash(text);
        let mut user = hash(&format!("{username}:{}:{}", self.realm, password.expose()));
        if self.session {
            user = hash(&format!("{user}:{}:{cnonce}", self.nonce));
        }
        let request = hash(&format!("{method}:{uri}"));
        let response = if self.qop {
            hash(&format!(
                "{user}:{}:00000001:{cnonce}:auth:{request}",
                self.nonce
            ))
        } else {
            hash(&format!("{user}:{}:{request}", self.nonce))
        };
        let shown = if self.userhash {
            hash(&format!("{username}:{}", self.realm))
        } else {
            username.to_owned()
        };
        let algorithm = match self.algorithm {
            Algorithm::Md5 => "MD5",
            Algorithm::Sha256 => "SHA-256",
        };
        let mut header = format!(
            r#"Digest username="{shown}", realm="{}", nonce="{}", uri="{uri}", response="{response}", algorithm={algorithm}{}"#,
            self.realm,
            self.nonce,
            if self.session { "-sess" } else { "" },
        );
        if self.qop || self.session {
            header.extend([", cnonce=\"", cnonce, "\""]);
        }
        if self.qop {
            header.push_str(", qop=auth, nc=00000001");
        }
        if let Some(opaque) = self.opaque.as_ref().filter(|opaque| !awkward(opaque)) {
            header.extend([", opaque=\"", opaque, "\""]);
        }
        if self.userhash {
            header.push_str(", userhash=true");
        }
        Some(header)
    }
}

/// Parses the challenges of one header (RFC 9110, 11.6.1): a scheme, then parameters up to
/// the next scheme. The list ends at the first text that cannot be parsed.
fn challenges(header: &str) -> Vec<(String, Parameters)> {
    let mut found: Vec<(String, Parameters)> = Vec::new();
    let mut rest = header.trim_start_matches(blank);
    while !rest.is_empty() {
        let (word, after) = token(rest);
        if word.is_empty() {
            break;
        }
        let after_blank = after.trim_start_matches([' ', '\t']);
        // `name=value` is a parameter, anything else a scheme.
        let value = after_blank
            .strip_prefix('=')
            .map(|value| value.trim_start_matches([' ', '\t']));
        match (value, found.last_mut()) {
            (Some(value), Some((_, parameters))) => {
                let Some((text, after)) = parameter(value) else {
                    break;
                };
                parameters.push((word.to_ascii_lowercase(), text));
                rest = after.trim_start_matches(blank);
            }
            (Some(_), None) => break,
            (None, _) => {
                found.push((word.to_owned(), Vec::new()));
                rest = after_blank.trim_start_matches(blank);
            }
        }
    }
    found
}

fn blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | ',')
}

fn token(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && !"!#$%&'*+-.^_`|~/".contains(c))
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Parses a token or a quoted string. Returns its text, and the text that follows.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = token(text);
        return Some((word.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOTH: &str = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%, nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS""#;

    /// RFC 7616, 3.9.1.
    #[test]
    fn the_examples_of_the_rfc_get_the_responses_of_the_rfc() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let header = BOTH.replace('%', algorithm);
            let challenge = strongest([header.as_str()].into_iter()).unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let password = Secret::new("Circle of Life".to_owned());
            let answer = challenge
                .answer_with(cnonce, "GET", "/dir/index.html", "Mufasa", &password)
                .unwrap();
            assert!(
                answer.contains(&format!(r#"response="{response}""#)),
                "{answer}"
            );
            assert!(answer.contains("qop=auth, nc=00000001"), "{answer}");
            assert!(answer.contains(r#"opaque="FQhe"#), "{answer}");
        }
    }

    /// RFC 2069's form, with the numbers of RFC 2617's errata.
    #[test]
    fn a_challenge_without_qop_is_answered_in_the_old_way() {
        let header = r#"Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let challenge = strongest([header].into_iter()).unwrap();
        let password = Secret::new("Circle Of Life".to_owned());
        let answer = challenge
            .answer_with("x", "GET", "/dir/index.html", "Mufasa", &password)
            .unwrap();
        assert!(
            answer.contains(r#"response="670fd8c2df070c60b045671b8b24ff02""#),
            "{answer}"
        );
        assert!(!answer.contains("cnonce"), "{answer}");
    }

    #[test]
    fn the_strongest_of_several_is_answered() {
        let header = r#"Basic realm="a, b=\"c\"", Digest realm="r", nonce="one", algorithm=MD5, qop="auth", Digest realm="r", nonce="two", algorithm=SHA-256, qop="auth", Negotiate"#;
        let challenge = strongest([header].into_iter()).unwrap();
        assert_eq!(
            (challenge.nonce.as_str(), challenge.algorithm),
            ("two", Algorithm::Sha256)
        );
        assert_eq!(strongest([r#"Basic realm="r""#].into_iter()), None);
        assert_eq!(
            strongest([r#"Digest realm="r", nonce="n", qop="auth-int""#].into_iter()),
            None
        );
        assert_eq!(
            strongest([r#"Digest realm="r", nonce="n", algorithm=SHA-512-256"#].into_iter()),
            None
        );
        assert_eq!(strongest([r#"Digest realm="r"#].into_iter()), None);
    }

    proptest! {
        #[test]
        fn any_header_can_be_read(header in "\\PC{0,80}|[A-Za-z =\",\\\\]{0,60}") {
            if let Some(challenge) = strongest([header.as_str()].into_iter()) {
                let _answer = challenge.answer("GET", "/", "u", &Secret::new("p".to_owned()));
            }
        }
    }
}
