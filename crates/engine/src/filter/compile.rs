//! From infix to postfix with a stack of operators (Dijkstra's shunting yard).

use super::token::{Lexer, Token};
use super::{Binary, Filter, Op, SyntaxError, TEXT_MAX};

/// An operator that waits for its right operand; an open parenthesis is `None`.
type Waiting = Option<Operator>;

#[derive(Clone, Copy)]
enum Operator {
    Not,
    Binary(Binary),
}

impl Operator {
    /// Operators with more bind tighter; those with the same from the left.
    fn precedence(self) -> u8 {
        use Binary::*;
        match self {
            Self::Not => 6,
            Self::Binary(Power) => 5,
            Self::Binary(Multiply | Divide | Remainder) => 4,
            Self::Binary(Add | Subtract) => 3,
            Self::Binary(Greater | GreaterEqual | Less | LessEqual | Equal | NotEqual | In) => 2,
            Self::Binary(And) => 1,
            Self::Binary(Or) => 0,
        }
    }
}

#[derive(Default)]
struct Compiler {
    fields: Vec<Box<[u8]>>,
    program: Vec<Op>,
    waiting: Vec<Waiting>,
    /// Values the program so far leaves on the stack.
    values: usize,
}

pub(super) fn compile(text: &[u8]) -> Result<Filter, SyntaxError> {
    // As in Redis, a NUL ends the text.
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.len() > TEXT_MAX {
        return Err(SyntaxError { at: 0 });
    }
    let (mut compiler, mut tokens, mut lexer) = (Compiler::default(), Vec::new(), Lexer::new(text));
    // Words that cannot be read are reported before words that do not fit together.
    while let Some(token) = lexer.next()? {
        tokens.push(token);
    }
    let fits = tokens.into_iter().try_for_each(|token| compiler.take(token)).and_then(|()| compiler.finish());
    fits.ok_or(MISFIT)?;
    Ok(Filter { fields: compiler.fields, program: compiler.program })
}

/// Words that do not fit together are the fault of the whole expression.
const MISFIT: SyntaxError = SyntaxError { at: 0 };

impl Compiler {
    /// Takes the next word; `None` when it does not fit.
    fn take(&mut self, token: Token<'_>) -> Option<()> {
        match token {
            Token::Literal(literal) => self.push(Op::Push(literal)),
            Token::Field(name) => {
                let field = self.field(name);
                self.push(Op::Load(field));
            }
            Token::Open => self.waiting.push(None),
            Token::Close => return self.close(),
            Token::Not => return self.operator(Operator::Not),
            Token::Binary(binary) => return self.operator(Operator::Binary(binary)),
        }
        Some(())
    }

    fn push(&mut self, op: Op) {
        self.program.push(op);
        self.values += 1;
    }

    fn field(&mut self, name: &[u8]) -> usize {
        self.fields.iter().position(|field| **field == *name).unwrap_or_else(|| {
            self.fields.push(name.into());
            self.fields.len() - 1
        })
    }

    /// Emits what waits within the parenthesis, and drops that.
    fn close(&mut self) -> Option<()> {
        while let Some(op) = self.waiting.pop()? {
            self.emit(op)?;
        }
        Some(())
    }

    /// Emits what binds at least as tight as `op`, which then waits. `**` binds from the right.
    fn operator(&mut self, op: Operator) -> Option<()> {
        let from_right = matches!(op, Operator::Binary(Binary::Power));
        while let Some(Some(top)) = self.waiting.last().copied() {
            if top.precedence() < op.precedence() || from_right && top.precedence() == op.precedence() {
                break;
            }
            self.emit(top)?;
            self.waiting.pop();
        }
        self.waiting.push(Some(op));
        Some(())
    }

    /// Emits what still waits; what is left must be one value.
    fn finish(&mut self) -> Option<()> {
        while let Some(waiting) = self.waiting.pop() {
            self.emit(waiting?)?;
        }
        (self.values == 1).then_some(())
    }

    fn emit(&mut self, op: Operator) -> Option<()> {
        let (op, operands) = match op {
            Operator::Not => (Op::Not, 1),
            Operator::Binary(binary) => (Op::Binary(binary), 2),
        };
        self.values = self.values.checked_sub(operands)? + 1;
        self.program.push(op);
        Some(())
    }
}
