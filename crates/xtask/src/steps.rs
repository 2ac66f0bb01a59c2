//! Numbered steps with visible progress: which one runs, how long it took, and what to do when it fails.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};

use crate::project::Project;

/// One step of a chore.
pub(crate) struct Step {
    /// Name by which the step can be run alone.
    pub(crate) name: &'static str,
    /// What happens, in a few words.
    pub(crate) what: &'static str,
    /// What a person can do when it fails.
    pub(crate) remedy: &'static str,
    /// The work.
    pub(crate) run: fn(&Project) -> Result<()>,
}

/// Runs all steps of a chore, or those named in `only`, in the chore's order.
pub(crate) fn run_named(project: &Project, chore: &str, steps: &[Step], only: &[&str]) -> Result<()> {
    if let Some(unknown) = only.iter().find(|name| steps.iter().all(|step| step.name != **name)) {
        let names: Vec<&str> = steps.iter().map(|step| step.name).collect();
        bail!("no step `{unknown}`; there are: {}", names.join(" "));
    }
    let chosen: Vec<&Step> = steps.iter().filter(|step| only.is_empty() || only.contains(&step.name)).collect();
    run_all(project, chore, &chosen)
}

/// Runs `steps` in order and stops at the first that fails; ends with a table of the times.
fn run_all(project: &Project, chore: &str, steps: &[&Step]) -> Result<()> {
    let style = Style::detect();
    let mut times = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("{}", style.bold(&format!("[{}/{}] {}: {}", index + 1, steps.len(), step.name, step.what)));
        let start = Instant::now();
        let outcome = (step.run)(project);
        let took = start.elapsed();
        if let Err(error) = outcome {
            return Err(failure(&style, chore, step, took, &error));
        }
        println!("{}\n", style.green(&format!("      {} done in {}", step.name, seconds(took))));
        times.push((step.name, took));
    }
    println!("{}", style.green(&summary(chore, &times)));
    Ok(())
}

/// Colours on a terminal, plain text elsewhere or under `NO_COLOR`.
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    pub(crate) fn detect() -> Self {
        Self { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    fn bold(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn green(&self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn red(&self, text: &str) -> String {
        self.wrap("31;1", text)
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn failure(style: &Style, chore: &str, step: &Step, took: Duration, error: &anyhow::Error) -> anyhow::Error {
    anyhow!(
        "\n{}\n  why:        {error:#}\n  what to do: {}\n  try again:  cargo xtask {chore} {}",
        style.red(&format!("{} failed after {}", step.name, seconds(took))),
        step.remedy,
        step.name,
    )
}

fn summary(chore: &str, times: &[(&str, Duration)]) -> String {
    let mut table = String::new();
    for (name, took) in times {
        writeln!(table, "  {name:<10} {:>9}", seconds(*took)).expect("writing to a String");
    }
    let total = times.iter().map(|(_, took)| *took).sum();
    let steps = if times.len() == 1 { "step" } else { "steps" };
    format!("{table}cargo xtask {chore}: {} {steps} passed in {}", times.len(), seconds(total))
}

fn seconds(time: Duration) -> String {
    let total = time.as_secs_f64();
    if total < 60.0 {
        format!("{total:.1} s")
    } else {
        format!("{:.0} min {:.0} s", (total / 60.0).floor(), total % 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well_below_and_above_a_minute() {
        assert_eq!(seconds(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 5 s");
    }

    #[test]
    fn a_summary_counts_the_steps_and_adds_their_times() {
        let text = summary("test", &[("fmt", Duration::from_secs(2)), ("tidy", Duration::from_secs(3))]);
        assert!(text.ends_with("cargo xtask test: 2 steps passed in 5.0 s"), "{text}");
    }
}
