//! Functions of numbers: those that IEEE 754 defines to the last bit.

use super::shown;
use crate::expression::builtin::Function;
use crate::expression::number::Num;
use crate::expression::run::Run;
use crate::expression::stop::Stop;
use crate::expression::value::Val;

pub(in crate::expression) const FUNCTIONS: &[Function] = &[
    Function::new("floor", 0, |_, x, _| float(&x, f64::floor)),
    Function::new("ceil", 0, |_, x, _| float(&x, f64::ceil)),
    Function::new("round", 0, |_, x, _| float(&x, f64::round)),
    Function::new("trunc", 0, |_, x, _| float(&x, f64::trunc)),
    Function::new("fabs", 0, |_, x, _| float(&x, f64::abs)),
    Function::new("sqrt", 0, |_, x, _| root(&x)),
    Function::new("abs", 0, abs),
];

fn number(value: &Val) -> Result<Num, Stop> {
    match value {
        Val::Num(number) => Ok(*number),
        other => Err(Stop::error(format!("{} is not a number", shown(other)))),
    }
}

/// Applies a function to a number. Only the sign of a whole number can change.
fn float(value: &Val, f: fn(f64) -> f64) -> Result<Val, Stop> {
    Ok(Val::Num(match number(value)? {
        Num::Int(whole) if whole < 0 => Num::whole(if f(-1.0) > 0.0 { -whole } else { whole })?,
        Num::Int(whole) => Num::Int(whole),
        Num::Float(value) => Num::of(f(value))?,
    }))
}

fn root(value: &Val) -> Result<Val, Stop> {
    Ok(Val::Num(Num::of(number(value)?.float().sqrt())?))
}

/// Returns the absolute value. A value of any kind that is not below zero does not change, as in
/// jq.
fn abs(_: &Run<'_>, value: Val, _: &[Val]) -> Result<Val, Stop> {
    if value < Val::int(0) {
        return Ok(Val::Num(number(&value)?.negate()?));
    }
    Ok(value)
}
