//! The token file: `TOKEN` or `TOKEN NAME [read|operate]` on each line.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use super::session::{SessionKey, ShownSession};
use super::{Scope, UnusableAuthority};

/// Minimum length of a token, in characters.
const SHORTEST: usize = 32;

/// The tokens of a file: at least one.
#[derive(Debug)]
pub struct Tokens(Vec<Token>);

/// A token, without its text.
#[derive(Debug)]
pub(super) struct Token {
    digest: [u8; 32],
    pub(super) session: SessionKey,
    pub(super) name: String,
    pub(super) scope: Scope,
}

impl Tokens {
    /// Parses a token file. No error message contains a token.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, UnusableAuthority> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the file is not UTF-8")?;
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let at = |why: &str| format!("line {number}: {why}");
            let Some(token) = Token::parse(line, number).map_err(|why| at(&why.to_string()))?
            else {
                continue;
            };
            if tokens.iter().any(|other| other.digest == token.digest) {
                return Err(at("the token is also on an earlier line").into());
            }
            tokens.push(token);
        }
        if tokens.is_empty() {
            return Err("the file has no token".into());
        }
        Ok(Self(tokens))
    }

    /// Returns the token with this text. The time that this takes reveals nothing about
    /// the tokens: the digests of all tokens are compared, each to its end.
    pub(super) fn find(&self, text: &str) -> Option<&Token> {
        let digest: [u8; 32] = Sha256::digest(text).into();
        let (mut is_found, mut at) = (Choice::from(0), 0_u64);
        for (index, token) in (0_u64..).zip(&self.0) {
            let is_same = token.digest.ct_eq(&digest);
            at.conditional_assign(&index, is_same);
            is_found |= is_same;
        }
        let at = usize::try_from(at).ok().filter(|_| is_found.into());
        at.and_then(|at| self.0.get(at))
    }

    /// Returns the token that a session was begun with. `None` if the session has ended,
    /// if the token is not in the file any more, or if nobody has begun the session.
    pub(super) fn of_session(&self, text: &str, now: Timestamp) -> Option<&Token> {
        let shown = ShownSession::parse(text)?;
        let token = self.0.iter().find(|token| shown.names(&token.session))?;
        (shown.is_of(&token.session) && !shown.has_ended(now)).then_some(token)
    }
}

impl Token {
    /// Parses the token of a line; `None` if the line has no token.
    fn parse(line: &str, number: usize) -> Result<Option<Self>, UnusableAuthority> {
        let mut words = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'));
        let Some(text) = words.next() else {
            return Ok(None);
        };
        if text.len() < SHORTEST {
            return Err(format!("the token is shorter than {SHORTEST} characters").into());
        }
        if !text.bytes().all(can_be_sent) {
            return Err("the token has a character other than A-Z a-z 0-9 - . _ ~ + / =".into());
        }
        let name = match words.next() {
            Some("read" | "operate") => return Err("a name must come before the scope".into()),
            Some(name) => name.to_owned(),
            None => format!("token of line {number}"),
        };
        let scope = match words.next() {
            Some("operate") | None => Scope::Operate,
            Some("read") => Scope::Read,
            Some(word) => return Err(format!("`{word}` is neither `read` nor `operate`").into()),
        };
        if words.next().is_some() {
            return Err("there is more on the line than a token, a name and a scope".into());
        }
        Ok(Some(Self {
            digest: Sha256::digest(text).into(),
            session: SessionKey::of(text),
            name,
            scope,
        }))
    }
}

/// Returns `true` if RFC 6750 allows this character in a token.
const fn can_be_sent(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn found(file: &str, text: &str) -> Option<(String, Scope)> {
        let tokens = Tokens::parse(file.as_bytes()).unwrap();
        let token = tokens.find(text)?;
        Some((token.name.clone(), token.scope))
    }

    #[test]
    fn a_line_is_a_token_with_a_name_and_a_scope() {
        let file = format!("# comment\n\n{A}\r\n  {B} ci read # the pipeline\n");
        assert_eq!(
            found(&file, A),
            Some(("token of line 3".into(), Scope::Operate))
        );
        assert_eq!(found(&file, B), Some(("ci".into(), Scope::Read)));
        for other in ["", "ci", &A[1..], &format!("{A}a"), &A.to_uppercase()] {
            assert_eq!(found(&file, other), None, "{other}");
        }
        assert_eq!(
            found(&format!("{A} ann operate"), A),
            Some(("ann".into(), Scope::Operate))
        );
    }

    #[test]
    fn a_bad_file_is_refused_with_its_line_and_without_its_token() {
        for (file, expected) in [
            (String::new(), "the file has no token"),
            (format!("# {A}\n"), "the file has no token"),
            (A[1..].to_owned(), "line 1: the token is shorter than 32"),
            (format!("{A},"), "line 1: the token has a character"),
            (
                format!("{A} read"),
                "line 1: a name must come before the scope",
            ),
            (format!("{A} ann write"), "line 1: `write` is neither"),
            (
                format!("{A} ann read x"),
                "line 1: there is more on the line",
            ),
            (format!("{A}\n{A} ann"), "line 2: the token is also on"),
        ] {
            let error = Tokens::parse(file.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{file}: {error}");
            assert!(!error.contains("aaaa"), "{error}");
        }
        assert!(Tokens::parse(b"\xff").is_err());
    }
}
