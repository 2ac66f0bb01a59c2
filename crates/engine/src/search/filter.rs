//! FILTER of FT.CREATE: an expression over the fields of a document.

use std::fmt;
use std::sync::Arc;

use quiver_query::Value;
use quiver_query::aggregate::{Arguments, Plan, Planner, Row, Run};

use super::definition::Definition;
use super::extract::Source;
use crate::error::CommandError;

/// An expression that documents must meet.
pub(crate) struct Filter {
    text: Box<[u8]>,
    plan: Arc<Plan>,
}

impl Filter {
    pub(crate) fn parse(text: &[u8]) -> Result<Self, CommandError> {
        let anything = |_: &[u8]| true;
        let mut planner = Planner::new(&anything);
        planner.step(&mut Arguments::new(&[b"FILTER", text]))?;
        Ok(Self { text: text.into(), plan: Arc::new(planner.finish()) })
    }

    /// As it was said.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether a document meets it.
    pub(crate) fn holds(&self, source: &Source<'_>, key: &[u8], definition: &Definition) -> bool {
        let mut values = vec![Value::Null; self.plan.width()];
        for (name, place) in self.plan.inputs() {
            let field = definition
                .schema
                .field(name)
                .map_or(name.as_slice(), |field| &definition.schema.fields[usize::from(field)].path);
            let text = if name == b"__key" { Some(key.to_vec()) } else { source.text(field) };
            if let (Some(text), Some(value)) = (text, values.get_mut(*place)) {
                *value = Value::Text(text);
            }
        }
        // Nothing in it is random.
        let mut run = Run::new(Arc::clone(&self.plan), 0);
        run.push(Row { values, rest: Vec::new() }).is_ok() && run.ready() > 0
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.text.escape_ascii().to_string()).finish()
    }
}
