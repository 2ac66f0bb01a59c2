//! What an expression comes to in a row.
//!
//! Nothing fails: where operands are not what an operation takes, the outcome is missing.

use std::borrow::Cow;

use super::{
    expression::{Expression, Operator},
    functions::Function,
};
use crate::Value;

impl Expression {
    /// Its value in `row`.
    pub(super) fn value<'v>(&'v self, row: &'v [Value]) -> Cow<'v, Value> {
        match self {
            Self::Literal(value) => Cow::Borrowed(value),
            Self::Property(place) => Cow::Borrowed(row.get(*place).unwrap_or(&Value::Null)),
            Self::Not(inner) => truth(!inner.value(row).is_true()),
            Self::Operation(Operator::Or, left, right) => {
                truth(left.value(row).is_true() || right.value(row).is_true())
            }
            Self::Operation(Operator::And, left, right) => {
                truth(left.value(row).is_true() && right.value(row).is_true())
            }
            Self::Operation(operator, left, right) => {
                Cow::Owned(operate(*operator, &left.value(row), &right.value(row)))
            }
            Self::Call(Function::Case, arguments) => match &arguments[..] {
                [condition, then, otherwise] => {
                    if condition.value(row).is_true() {
                        then.value(row)
                    } else {
                        otherwise.value(row)
                    }
                }
                _ => Cow::Owned(Value::Null),
            },
            Self::Call(function, arguments) => {
                let values: Vec<_> = arguments.iter().map(|argument| argument.value(row)).collect();
                Cow::Owned(function.call(&values).unwrap_or_default())
            }
        }
    }
}

fn truth<'v>(holds: bool) -> Cow<'v, Value> {
    Cow::Owned(Value::Number(f64::from(u8::from(holds))))
}

fn operate(operator: Operator, left: &Value, right: &Value) -> Value {
    if let Some(holds) = compare(operator, left, right) {
        return Value::Number(f64::from(u8::from(holds)));
    }
    let (Some(left), Some(right)) = (left.as_number(), right.as_number()) else { return Value::Null };
    Value::Number(match operator {
        Operator::Add => left + right,
        Operator::Subtract => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        Operator::Power => left.powf(right),
        // Of whole numbers; whatever has none is cut to the nearest.
        Operator::Modulo => match (left as i64).checked_rem(right as i64) {
            Some(rest) => rest as f64,
            None if right as i64 == -1 => 0.0,
            None => f64::NAN,
        },
        _ => return Value::Null,
    })
}

/// The outcome of a comparison; `None` for other operators.
fn compare(operator: Operator, left: &Value, right: &Value) -> Option<bool> {
    let missing = *left == Value::Null || *right == Value::Null;
    let nan = |value: &Value| matches!(value, Value::Number(number) if number.is_nan());
    let order = || left.order(right);
    let holds = match operator {
        Operator::Equal => order().is_eq(),
        Operator::Unequal => return Some(nan(left) || nan(right) || order().is_ne()),
        Operator::Less => !missing && order().is_lt(),
        Operator::LessOrEqual => !missing && order().is_le(),
        Operator::Greater => !missing && order().is_gt(),
        Operator::GreaterOrEqual => !missing && order().is_ge(),
        _ => return None,
    };
    Some(holds && !nan(left) && !nan(right))
}
