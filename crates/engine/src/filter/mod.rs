//! Filter expressions of VSIM over the JSON attributes of elements
//! (redis.io/docs/latest/develop/data-types/vector-sets/filtered-search).
//!
//! An expression is compiled once per command into a program for a stack machine: `token.rs` reads words, `compile.rs`
//! orders them by precedence, `run.rs` computes. Attributes are never parsed as a whole: one pass over the text finds
//! the fields an expression names and borrows their values (`json.rs`). A field that is missing, or of a kind no
//! operator takes, excludes the element whatever the rest of the expression says; so all fields are loaded before
//! anything is computed.
//!
//! Fields may have an index (`index.rs`), and then the elements an expression may accept are found without asking about
//! each (`candidates.rs`).
//!
//! Invariants: a compiled program leaves one value and never takes from an empty stack; neither an expression nor
//! attributes can make a run recurse; a run allocates only for strings with escapes and for programs that need more
//! values at once than fit in place.
//!
//! Values, precedence, conversions and errors are those of Redis 8.0.2, and `in` finds a text within a text as since
//! 8.2. More than Redis 8.0 knows are the constants `true`, `false` and `null`, which it refuses. Not here: which
//! elements are asked about.

mod candidates;
mod compile;
mod index;
mod json;
mod run;
mod slots;
mod token;

pub use index::{Candidates, FieldIndex};
pub use slots::Slots;
use token::Literal;

/// Longest expression. Redis knows no bound; a program takes some forty times the memory of its text.
pub const TEXT_MAX: usize = 1 << 20;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Top-level fields of the attributes the program loads, each once.
    fields: Vec<Box<[u8]>>,
    program: Vec<Op>,
}

/// Where an expression cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Offset into the expression.
    pub at: usize,
}

/// One step of a program in postfix order.
#[derive(Clone, Debug)]
enum Op {
    /// Puts a constant on the stack.
    Push(Literal),
    /// Puts the value of a field on the stack.
    Load(usize),
    /// Replaces the top.
    Not,
    /// Replaces the two on top.
    Binary(Binary),
}

/// Operators with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Binary {
    Power,
    Multiply,
    Divide,
    Remainder,
    Add,
    Subtract,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Equal,
    NotEqual,
    In,
    And,
    Or,
}

impl Filter {
    /// Compiles an expression.
    /// # Errors
    /// The place of what is no expression.
    pub fn compile(text: &[u8]) -> Result<Self, SyntaxError> {
        compile::compile(text)
    }

    /// Whether an element with these attributes passes.
    pub fn accepts(&self, attributes: &[u8]) -> bool {
        // Who has no attributes passes nothing, not even what always holds.
        !attributes.is_empty() && run::accepts(self, attributes)
    }
}

/// Whether an expression can name this field.
pub fn is_field(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|byte| token::is_of_name(*byte))
}

/// The value of a top-level field of attributes as text, if it is a string, a number, or true or false.
pub fn field_text(attributes: &[u8], field: &[u8]) -> Option<Vec<u8>> {
    json::text(attributes, field)
}
