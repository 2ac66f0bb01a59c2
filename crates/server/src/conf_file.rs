//! redis.conf and the command line: both are lines of a directive and its arguments, the latter as `--name value ...`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use quiver_engine::config::{self, Config};
use quiver_resp::split_inline;

pub(crate) const HELP: &str = "\
Usage: quiver-server [/path/to/redis.conf] [--parameter value ...]

  quiver-server                              port 6379, data in the working folder
  quiver-server --port 7000 --dir /var/data  parameters as in redis.conf
  quiver-server --check-system               what of this machine makes servers slow
  quiver-server --appendonly yes             every write goes to a log on disk as well
  quiver-server --check-aof [--fix] [--truncate-to-timestamp T] FILE
                                             what is in a log (its manifest or one file), and what is wrong with it
  quiver-server --save \"\"                    no snapshots but on SAVE and BGSAVE
  quiver-server --grpc-port 6380             the gRPC API as well
  quiver-server --replicaof 10.0.0.1 6379    a replica";

/// What the configuration holds besides parameters.
#[derive(Debug, Default)]
pub(crate) struct Startup {
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// The words of `user` lines.
    pub(crate) users: Vec<Vec<String>>,
}

/// Included files may include others, this deep.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Applies a configuration file (the first argument, unless it is a parameter) and the parameters behind it.
///
/// # Errors
/// Names the file and line, or the parameter, and what is wrong with it.
pub(crate) fn apply(config: &Config, arguments: &[String]) -> Result<Startup> {
    let mut startup = Startup::default();
    let mut rest = arguments;
    if let Some((file, parameters)) = arguments.split_first().filter(|(first, _)| !first.starts_with("--")) {
        apply_file(config, Path::new(file), 0, &mut startup)?;
        // The working folder may change later.
        startup.file = Some(std::path::absolute(file)?);
        rest = parameters;
    }
    let mut directives: Vec<Vec<String>> = Vec::new();
    for word in rest {
        match word.strip_prefix("--").filter(|name| !name.is_empty()) {
            Some(name) => match name.split_once('=') {
                Some((name, value)) => directives.push(vec![name.to_owned(), value.to_owned()]),
                None => directives.push(vec![name.to_owned()]),
            },
            None => match directives.last_mut() {
                Some(directive) => directive.push(word.clone()),
                None => bail!("{word:?} is neither a file in the first place nor a --parameter"),
            },
        }
    }
    let mut save_given = false;
    for words in &directives {
        apply_directive(config, words, 0, &mut save_given, &mut startup)
            .with_context(|| format!("parameter --{}", words.join(" ")))?;
    }
    Ok(startup)
}

fn apply_file(config: &Config, path: &Path, depth: usize, startup: &mut Startup) -> Result<()> {
    if depth > INCLUDE_DEPTH_MAX {
        bail!("{}: files include each other too deeply", path.display());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("configuration file {}", path.display()))?;
    let mut save_given = false;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = || format!("{}, line {}: {line}", path.display(), number + 1);
        let (mut text, mut ranges) = (Vec::new(), Vec::new());
        let split = split_inline(line.as_bytes(), &mut text, |range| ranges.push(range));
        split.ok().context("unbalanced quotes").with_context(place)?;
        let words = ranges.into_iter().map(|range| String::from_utf8_lossy(&text[range]).into_owned());
        let words: Vec<String> = words.collect();
        apply_directive(config, &words, depth, &mut save_given, startup).with_context(place)?;
    }
    Ok(())
}

/// Applies one directive. Several `save` lines add up; the first replaces the default.
fn apply_directive(
    config: &Config,
    words: &[String],
    depth: usize,
    save_given: &mut bool,
    startup: &mut Startup,
) -> Result<()> {
    let name = words[0].to_ascii_lowercase();
    let mut value = words[1..].join(" ");
    match name.as_str() {
        "include" => return apply_file(config, Path::new(&value), depth + 1, startup),
        "user" => {
            startup.users.push(words.to_vec());
            return Ok(());
        }
        // What this server always does, or has no counterpart for: accepted so that existing files load.
        "loadmodule" | "rename-command" => {
            bail!("this parameter is not supported")
        }
        "save" => {
            if *save_given && !value.is_empty() {
                value = format!("{} {value}", config.get("save")).trim().to_owned();
            }
            *save_given = true;
        }
        _ => {}
    }
    if !config::exists(&name) {
        bail!("Bad directive or wrong number of arguments");
    }
    config.set(&name, &value, false).map_err(anyhow::Error::msg)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(|word| if word == "''" { String::new() } else { word.to_owned() }).collect()
    }

    #[test]
    fn parameters_of_the_command_line_apply_in_order() {
        let config = Config::default();
        apply(&config, &words("--port 7000 --save 60 1 --save 30 2 --replicaof 127.0.0.1 6379 --maxmemory=1mb"))
            .unwrap();
        assert_eq!(config.get("port"), "7000");
        assert_eq!(config.save_points(), [(60, 1), (30, 2)]);
        assert_eq!(config.get("replicaof"), "127.0.0.1 6379");
        assert_eq!(config.maxmemory(), 1 << 20);
        apply(&config, &words("--save ''")).unwrap();
        assert!(config.save_points().is_empty());
    }

    #[test]
    fn mistakes_name_the_parameter() {
        let config = Config::default();
        for line in ["--nonsense 1", "--port x", "--maxmemory 1q", "stray"] {
            assert!(apply(&config, &words(line)).is_err(), "{line}");
        }
    }
}
