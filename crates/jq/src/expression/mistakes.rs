//! Mistakes that compile: expressions that have another meaning than intended.
//!
//! For texts that cannot be compiled, the functions of this module find no mistake.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Term};
use jaq_core::path::Part;

use super::parse::parse;

/// Filters whose arguments get the same input as the filter.
const SAME_INPUT: [&str; 9] = [
    "select",
    "first",
    "isempty",
    "contains",
    "startswith",
    "endswith",
    "test",
    "has",
    "IN",
];

/// Returns the first of `keys` that an expression reads from its own input, as `.key`.
pub fn key_of_input(text: &str, keys: &[&'static str]) -> Option<&'static str> {
    parse(text, |term, _| Ok(key_in(term, keys))).ok().flatten()
}

/// Returns `true` if an expression gives its input with an assignment, `.a = 1`. A comparison
/// would give true or false.
pub fn assigns(text: &str) -> bool {
    parse(text, |term, _| Ok(is_assignment(term))).unwrap_or(false)
}

fn is_assignment(term: &Term<&str>) -> bool {
    match term {
        Term::BinOp(_, BinaryOp::Assign, _) => true,
        Term::BinOp(_, BinaryOp::Pipe(_), last) => is_assignment(last),
        Term::BinOp(left, BinaryOp::And | BinaryOp::Or, right) => {
            is_assignment(left) || is_assignment(right)
        }
        _ => false,
    }
}

/// Returns the first of `keys` that a term reads from the expression's input, which is also the
/// term's input.
fn key_in(term: &Term<&str>, keys: &[&'static str]) -> Option<&'static str> {
    let any = |term: &Term<&str>| key_in(term, keys);
    match term {
        Term::Path(of, path) => {
            let first = match (&**of, path.0.first()) {
                (Term::Id, Some((Part::Index(Term::Str(None, parts)), _))) => match &parts[..] {
                    [StrPart::Str(name)] => keys.iter().copied().find(|key| key == name),
                    _ => None,
                },
                _ => None,
            };
            first.or_else(|| any(of)).or_else(|| {
                path.0.iter().find_map(|(part, _)| match part {
                    Part::Index(key) => any(key),
                    Part::Range(from, to) => from.iter().chain(to).find_map(any),
                })
            })
        }
        Term::BinOp(left, BinaryOp::Pipe(None), right) => match **left {
            Term::Id => any(right),
            // The terms after it have another input.
            _ => any(left),
        },
        Term::BinOp(left, BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt, _) => {
            any(left)
        }
        Term::BinOp(left, _, right) => any(left).or_else(|| any(right)),
        Term::Arr(Some(of)) | Term::Neg(of) | Term::Label(_, of) | Term::TryCatch(of, _) => any(of),
        Term::IfThenElse(branches, otherwise) => branches
            .iter()
            .find_map(|(condition, then)| any(condition).or_else(|| any(then)))
            .or_else(|| otherwise.as_deref().and_then(any)),
        Term::Obj(entries) => entries
            .iter()
            .filter_map(|(_, value)| value.as_ref())
            .find_map(any),
        Term::Str(_, parts) => parts.iter().find_map(|part| match part {
            StrPart::Term(term) => any(term),
            StrPart::Str(_) | StrPart::Char(_) => None,
        }),
        Term::Fold(_, source, _, _) => any(source),
        Term::Call(name, arguments) if SAME_INPUT.contains(name) => arguments.iter().find_map(any),
        Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Arr(None)
        | Term::Break(_)
        | Term::Def(..)
        | Term::Call(..)
        | Term::Var(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = ["status", "type"];

    #[test]
    fn a_key_of_the_input_is_found_wherever_the_input_is_read() {
        for (text, found) in [
            (".status == 503", Some("status")),
            (".status", Some("status")),
            (".[\"status\"] >= 500", Some("status")),
            (". | .status == 503", Some("status")),
            ("(.type | test(\"timeout$\"))", Some("type")),
            ("[.status] | length > 0", Some("status")),
            (".a == 1 and (.status // 0) > 1", Some("status")),
            ("[503, 504] | index(1) // 2", None),
            ("if .status > 1 then true else false end", Some("status")),
            ("\"\\(.type)\" == \"x\"", Some("type")),
            (".status as $s | $s == 1", Some("status")),
            ("IN(.status; 502, 503)", Some("status")),
            (".response.status == 503", None),
            (".response | .status == 503", None),
            ("$error.status == 503", None),
            ("$error | .status == 503", None),
            ("[$error] | any(.status == 503)", None),
            ("map(.status)", None),
            ("\".status\" == \"x\"", None),
            (".statuses", None),
            ("not an expression", None),
        ] {
            assert_eq!(key_of_input(text, &KEYS), found, "{text}");
        }
    }

    #[test]
    fn an_assignment_is_not_taken_for_a_comparison() {
        for (text, assignment) in [
            (".a = 1", true),
            (".a.b=\"x\"", true),
            (".x | .a = 1", true),
            ("(.a = 1) and .b", true),
            (".a == 1", false),
            ("(.a = 1) == .b", false),
            ("(.a = 1) | .a", false),
            (".a", false),
            ("\".a = 1\"", false),
        ] {
            assert_eq!(assigns(text), assignment, "{text}");
        }
    }
}
