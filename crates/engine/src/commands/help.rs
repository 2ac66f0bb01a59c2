//! The reply of the HELP subcommands.

use crate::context::Ctx;

/// Writes the help of a container: one line per subcommand, its explanation indented below, HELP itself last.
pub(crate) fn help(ctx: &mut Ctx<'_>, container: &str, lines: &[(&str, &str)]) {
    ctx.reply.array(lines.len() * 2 + 3);
    ctx.reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (syntax, explanation) in lines.iter().chain(&[("HELP", "Prints this help.")]) {
        ctx.reply.simple(syntax);
        ctx.reply.simple(&format!("    {explanation}"));
    }
}
