//! Rewrites syntax of jq that jaq's lexer and parser do not know into syntax that they know.
//!
//! The first pass goes over the text, for numbers (`.5`, `1.`) and surrogate pairs
//! (`\ud83d\ude00`). The second pass goes over the tokens, for patterns (`{$a: [$b]}`, `?//`),
//! for the sources of folds (`reduce .[] / 2 as $x`) and for the precedence of `as`
//! (`1 + 2 as $x | …` is `1 + (2 as $x | …)`).

use jaq_core::load::lex::{StrPart, Tok, Token};

use super::parse::Invalid;

/// A text with numbers and escapes in the form that jaq reads.
pub(super) struct Prepared {
    pub(super) text: String,
    /// Pairs of corresponding places: in the new text, and in the original.
    changes: Vec<(usize, usize)>,
}

impl Prepared {
    /// Returns the place in the original text.
    pub(super) fn original(&self, offset: usize) -> usize {
        let change = self.changes.iter().rev().find(|(new, _)| *new <= offset);
        change.map_or(offset, |(new, old)| old + (offset - new))
    }
}

/// Keywords after which a term begins.
const BEFORE_A_TERM: [&str; 13] = [
    "if", "then", "elif", "else", "and", "or", "try", "catch", "reduce", "foreach", "as", "label",
    "def",
];

/// Rewrites numbers and surrogate pairs, and leaves the rest unchanged.
pub(super) fn prepared(original: &str) -> Prepared {
    let mut text = String::with_capacity(original.len() + 8);
    let mut changes = Vec::new();
    // The closing bracket of each open bracket; `"` stands for an open string.
    let mut open = Vec::new();
    // `true` if a term has just ended, so that a `.` continues it.
    let mut after_term = false;
    let mut rest = original;
    while let Some(next) = rest.chars().next() {
        let (taken, written) = if open.last() == Some(&'"') {
            within_string(rest, next, &mut open, &mut after_term)
        } else {
            outside(rest, next, &mut open, &mut after_term)
        };
        match written {
            None => text.push_str(&rest[..taken]),
            Some(written) => {
                text.push_str(&written);
                changes.push((text.len(), original.len() - rest.len() + taken));
            }
        }
        rest = &rest[taken..];
    }
    Prepared { text, changes }
}

/// Number of bytes that belong together, and their replacement, if any.
type Piece = (usize, Option<String>);

fn within_string(rest: &str, next: char, open: &mut Vec<char>, after_term: &mut bool) -> Piece {
    match next {
        '"' => {
            open.pop();
            *after_term = true;
            (1, None)
        }
        '\\' => match rest[1..].chars().next() {
            Some('(') => {
                open.push(')');
                *after_term = false;
                (2, None)
            }
            Some('u') => surrogates(rest),
            Some(escaped) => (1 + escaped.len_utf8(), None),
            None => (1, None),
        },
        other => (other.len_utf8(), None),
    }
}

/// Reads `\ud83d\ude00`. A second half alone becomes U+FFFD, as in jq.
fn surrogates(rest: &str) -> Piece {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        plain
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
    };
    match unit(rest) {
        Some(high @ 0xD800..=0xDBFF) => match rest.get(6..).and_then(unit) {
            Some(low @ 0xDC00..=0xDFFF) => {
                let point = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                let character = char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
                (12, Some(character.to_string()))
            }
            _ => (2, None),
        },
        Some(0xDC00..=0xDFFF) => (6, Some(char::REPLACEMENT_CHARACTER.to_string())),
        _ => (2, None),
    }
}

fn outside(rest: &str, next: char, open: &mut Vec<char>, after_term: &mut bool) -> Piece {
    let length_of =
        |text: &str, fits: fn(char) -> bool| text.find(|c: char| !fits(c)).unwrap_or(text.len());
    let digits = |text: &str| length_of(text, |c| c.is_ascii_digit());
    match next {
        '#' => {
            // A comment ends with the line; jaq continues it after a backslash.
            (rest.find('\n').unwrap_or(rest.len()), None)
        }
        '"' => {
            open.push('"');
            (1, None)
        }
        '(' | '[' | '{' => {
            open.push(match next {
                '(' => ')',
                '[' => ']',
                _ => '}',
            });
            *after_term = false;
            (1, None)
        }
        ')' | ']' | '}' => {
            open.pop();
            *after_term = true;
            (1, None)
        }
        'a'..='z' | 'A'..='Z' | '_' | '$' | '@' => {
            let length = 1 + length_of(&rest[1..], |c| c.is_ascii_alphanumeric() || c == '_');
            *after_term = !BEFORE_A_TERM.contains(&&rest[..length]);
            (length, None)
        }
        '0'..='9' => {
            *after_term = true;
            number(rest, digits(rest))
        }
        '.' if rest[1..].starts_with('.') => {
            *after_term = true;
            (2, None)
        }
        '.' if !*after_term && digits(&rest[1..]) > 0 => {
            *after_term = true;
            let whole = 1 + digits(&rest[1..]);
            let length = whole + exponent(&rest[whole..]);
            (length, Some(format!("0{}", &rest[..length])))
        }
        '.' | '?' => {
            *after_term = true;
            (1, None)
        }
        space if space.is_whitespace() => (space.len_utf8(), None),
        other => {
            *after_term = false;
            (other.len_utf8(), None)
        }
    }
}

/// Reads a number that begins with digits: `1`, `1.5e3`, and `1.`, to which a zero is added.
fn number(rest: &str, whole: usize) -> Piece {
    let after = &rest[whole..];
    let Some(fraction) = after.strip_prefix('.') else {
        return (whole + exponent(after), None);
    };
    let digits = fraction
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(fraction.len());
    let end = whole + 1 + digits;
    let length = end + exponent(&rest[end..]);
    let goes_on = fraction.starts_with('.')
        || (length == end && fraction.starts_with(|c: char| c.is_alphabetic() || c == '_'));
    if digits > 0 || goes_on {
        return (length, None);
    }
    let (before, exponent) = (&rest[..whole], &rest[end..length]);
    (length, Some(format!("{before}.0{exponent}")))
}

/// Returns the length of `e3`, `E-3` and the like at the beginning of a text.
fn exponent(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let unsigned = rest.strip_prefix(['+', '-']).unwrap_or(rest);
    let digits = unsigned
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(unsigned.len());
    if digits == 0 {
        return 0;
    }
    text.len() - unsigned.len() + digits
}

type Tokens<'t> = Vec<Token<&'t str>>;

/// Maximum nesting of the brackets that are added here.
const MAX_ADDED: usize = 40;
/// Name of the first of a list of alternative patterns. No text can contain this name.
pub(super) const ALTERNATIVES: &str = "$*";
/// Operators that bind more tightly than `as` in jq, but not in jaq.
const TIGHT: [&str; 24] = [
    ",", "//", "or", "and", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "=", "|=",
    "+=", "-=", "*=", "/=", "%=", "//=", "?//",
];
/// Keywords that end a term before `as`, or that begin the part which contains `as`.
const KEYWORDS: [&str; 12] = [
    "if", "then", "elif", "else", "try", "catch", "reduce", "foreach", "as", "label", "def", "end",
];

/// Arranges tokens in the form that jaq parses, in all brackets.
pub(super) fn arranged(tokens: Tokens<'_>) -> Result<Tokens<'_>, Invalid> {
    within(tokens, false, 0)
}

fn within(tokens: Tokens<'_>, object: bool, added: usize) -> Result<Tokens<'_>, Invalid> {
    if added > MAX_ADDED {
        return Err(Invalid::new(0, "operators nest too deeply"));
    }
    let mut tokens = tokens;
    if let Some((from, to)) = loose(&tokens).filter(|_| !object) {
        let rest = tokens.split_off(to);
        let inner = tokens.split_off(from);
        tokens.push(bracketed("(", ")", inner));
        tokens.extend(rest);
        // The brackets that were just added are processed together with all others.
        return within(tokens, object, added + 1);
    }
    let mut made: Tokens<'_> = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    // Positions at which the sources of the open folds begin.
    let mut folds: Vec<usize> = Vec::new();
    while let Some(token) = rest.next() {
        // A keyword can be the key of an object.
        let key = object
            && rest
                .peek()
                .is_some_and(|next| [":", ",", "}"].contains(&next.0));
        match token.0 {
            _ if key => made.push(inside(token, added)?),
            "reduce" | "foreach" if token.1 == Word => {
                made.push(token);
                folds.push(made.len());
            }
            "as" if token.1 == Word => {
                if let Some(from) = folds.pop() {
                    fold_source(&mut made, from);
                }
                made.push(token);
                let Some(first) = rest.next() else { continue };
                let mut patterns = vec![pattern(first, added)?];
                while rest.peek().is_some_and(|token| token.0 == "?") {
                    let question = rest.next();
                    match rest.next() {
                        Some(Token("//", _)) => {}
                        other => {
                            made.extend(patterns.pop());
                            made.extend(question.into_iter().chain(other));
                            break;
                        }
                    }
                    if let Some(next) = rest.next() {
                        patterns.push(pattern(next, added)?);
                    }
                }
                made.extend(match patterns.len() {
                    0 => None,
                    1 => patterns.pop(),
                    _ => Some(alternatives(patterns)),
                });
            }
            _ => made.push(inside(token, added)?),
        }
    }
    Ok(made)
}

/// Arranges the tokens within the brackets of a token.
fn inside(Token(text, token): Token<&str>, added: usize) -> Result<Token<&str>, Invalid> {
    Ok(match token {
        Tok::Block(tokens) => {
            let tokens = within(tokens, text.starts_with('{'), added)?;
            Token(text, Tok::Block(tokens))
        }
        Tok::Str(parts) => {
            let parts = parts.into_iter().map(|part| {
                Ok(match part {
                    StrPart::Term(token) => StrPart::Term(inside(token, added)?),
                    other => other,
                })
            });
            Token(text, Tok::Str(parts.collect::<Result<_, Invalid>>()?))
        }
        other => Token(text, other),
    })
}

/// Stands for the kind `Tok::Word` in comparisons, because kinds of tokens are not comparable.
struct Word;

impl PartialEq<Word> for Tok<&str> {
    fn eq(&self, _: &Word) -> bool {
        matches!(self, Tok::Word)
    }
}

fn bracketed<'t>(open: &'static str, close: &'static str, mut inner: Tokens<'t>) -> Token<&'t str> {
    inner.push(Token(close, Tok::Sym));
    Token(open, Tok::Block(inner))
}

fn alternatives(patterns: Vec<Token<&str>>) -> Token<&str> {
    let mut inner = vec![Token(ALTERNATIVES, Tok::Var)];
    for pattern in patterns {
        inner.push(Token(",", Tok::Sym));
        inner.push(pattern);
    }
    bracketed("[", "]", inner)
}

/// Rewrites a pattern: `{$a: P}` becomes `{$a, a: P}`.
fn pattern(Token(text, token): Token<&str>, added: usize) -> Result<Token<&str>, Invalid> {
    let Tok::Block(tokens) = token else {
        return Ok(Token(text, token));
    };
    if text.starts_with('(') {
        return inside(Token(text, Tok::Block(tokens)), added);
    }
    let object = text.starts_with('{');
    let mut made = Vec::with_capacity(tokens.len());
    let mut rest = tokens.into_iter().peekable();
    // `true` if the next part is a pattern, not a key.
    let mut value = !object;
    while let Some(token) = rest.next() {
        match token.0 {
            ":" => {
                value = true;
                made.push(token);
            }
            "," => {
                value = !object;
                made.push(token);
            }
            name if !value && name.starts_with('$') && rest.peek().is_some_and(|t| t.0 == ":") => {
                made.push(token);
                made.push(Token(",", Tok::Sym));
                made.push(Token(&name[1..], Tok::Word));
            }
            _ if value => made.push(pattern(token, added)?),
            _ => made.push(inside(token, added)?),
        }
    }
    Ok(Token(text, Tok::Block(made)))
}

/// Encloses the source of a fold in brackets if it contains operators.
fn fold_source(made: &mut Tokens<'_>, from: usize) {
    let source = made.get(from..).unwrap_or_default();
    let operators = source
        .iter()
        .skip(1)
        .any(|Token(text, kind)| TIGHT.contains(text) && matches!(kind, Tok::Sym | Tok::Word));
    if operators || source.iter().any(|token| token.0 == "|") {
        let source = made.split_off(from);
        made.push(bracketed("(", ")", source));
    }
}

/// Returns the range of the tokens that an `as` binds, with its body, if an operator stands
/// before them.
fn loose(tokens: &[Token<&str>]) -> Option<(usize, usize)> {
    let mut folds = 0_usize;
    for (at, Token(text, kind)) in tokens.iter().enumerate() {
        if *kind != Word {
            continue;
        }
        match *text {
            "reduce" | "foreach" => folds += 1,
            "as" if folds > 0 => folds -= 1,
            "as" => {
                if let Some(from) = begin(tokens.get(..at)?) {
                    return Some((from, end(tokens, at)));
                }
            }
            _ => {}
        }
    }
    None
}

/// Returns the position of the term before `as` if a binary operator other than `|` precedes it.
fn begin(before: &[Token<&str>]) -> Option<usize> {
    let mut at = before.len();
    while let Some(Token(text, kind)) = at.checked_sub(1).and_then(|at| before.get(at)) {
        let ends_a_term = |at: usize| {
            let token = at.checked_sub(1).and_then(|at| before.get(at));
            token.is_some_and(|Token(text, kind)| match kind {
                Tok::Sym => text.starts_with('.') || *text == "?",
                Tok::Word => !KEYWORDS.contains(text) || *text == "end",
                _ => true,
            })
        };
        match kind {
            Tok::Word if KEYWORDS.contains(text) => return None,
            // Without a term before the operator, it is a sign.
            Tok::Sym | Tok::Word if TIGHT.contains(text) && ends_a_term(at - 1) => {
                return Some(at);
            }
            Tok::Sym if matches!(*text, "|" | ";" | ":") => return None,
            _ => {}
        }
        at -= 1;
    }
    None
}

/// Returns the end of the body of an `as`: the end of its brackets, or of the part of an `if`.
fn end(tokens: &[Token<&str>], from: usize) -> usize {
    let mut ifs = 0_usize;
    for (at, Token(text, kind)) in tokens.iter().enumerate().skip(from) {
        match (*text, kind) {
            ("if", Tok::Word) => ifs += 1,
            ("end", Tok::Word) if ifs > 0 => ifs -= 1,
            ("then" | "elif" | "else" | "end", Tok::Word) if ifs == 0 => return at,
            (";" | ")" | "]" | "}", Tok::Sym) => return at,
            _ => {}
        }
    }
    tokens.len()
}
