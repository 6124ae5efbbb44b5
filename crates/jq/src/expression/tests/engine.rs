//! The engine must not change its results: runs in flight evaluate their expressions again.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::VARIABLES;
use super::bombs::{BOMBS, HARMLESS};
use super::table::TABLE;
use super::table_texts::{DIFFERENT, TEXTS};
use crate::expression::{ENGINE, Expression, Spent};

/// Digest of this engine's results for all expressions of the tests, and of the cost of
/// each.
fn digest() -> String {
    let tables = TABLE.iter().chain(TEXTS).chain(DIFFERENT).copied();
    let others = HARMLESS.iter().chain(BOMBS).map(|text| (*text, "null", ""));
    let mut digest = Sha256::new();
    for (text, input, _) in tables.chain(others) {
        let input: Value = serde_json::from_str(input).unwrap();
        // What is moved bounds nothing.
        let counted = |spent: Spent| {
            let Spent {
                steps, allocated, ..
            } = spent;
            format!("Spent {{ steps: {steps}, allocated: {allocated} }}")
        };
        let line = match Expression::compile(text, VARIABLES) {
            Err(_) => format!("{text} refused\n"),
            Ok(expression) => match expression.evaluate_counting(&input, &[]) {
                (Ok(value), spent) => format!("{text} {value} {}\n", counted(spent)),
                // A message may be worded better without another meaning.
                (Err(_), spent) => format!("{text} failed {}\n", counted(spent)),
            },
        };
        digest.update(line);
    }
    hex::encode(digest.finalize())
}

/// A difference here means that a run in flight may replay to another result.
/// Before a first release: write the new digest down. After one: raise
/// [`ENGINE`] and keep the old engine for the runs that began with it.
#[test]
fn the_results_and_the_work_of_this_engine_number_have_not_changed() {
    assert_eq!(
        (ENGINE, digest().as_str()),
        (
            1,
            "cf57ed01fc6f5ccdec168ff2ffd504dcfff4744434dd5a1d03d0b08106c06edc"
        )
    );
}

/// A literal is what the same arithmetic gives.
#[test]
fn negative_literals_keep_their_value() {
    for (literal, computed) in [
        ("-18446744073709551615", "0 - 18446744073709551615"),
        ("-9223372036854775808", "0 - 9223372036854775808"),
        ("-9223372036854775809", "0 - 9223372036854775809"),
        ("-1", "0 - 1"),
    ] {
        let value = |text: &str| {
            let compiled = Expression::compile(text, &[]).unwrap();
            compiled.evaluate(&serde_json::Value::Null, &[]).unwrap()
        };
        assert_eq!(value(literal), value(computed), "{literal}");
    }
}
