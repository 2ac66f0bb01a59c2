//! redis.conf and the command line: both are lines of a directive and its arguments, the latter as `--name value ...`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use quiver_engine::config::{self, Config};
use quiver_resp::split_inline;

pub(crate) const HELP: &str = "\
Usage: quiver-server [/path/to/redis.conf] [--parameter value ...]

  quiver-server                              port 6379, data in the working folder
  quiver-server --port 7000 --dir /var/data  parameters as in redis.conf
  quiver-server --check-rdb dump.rdb         what a snapshot holds, and whether it is whole
  quiver-server --check-system               what of this machine makes servers slow
  quiver-server --appendonly yes             every write goes to a log on disk as well
  quiver-server --check-aof [--fix] [--truncate-to-timestamp T] FILE
                                             what is in a log (its manifest or one file), and what is wrong with it
  quiver-server --save \"\"                    no snapshots but on SAVE and BGSAVE
  quiver-server --grpc-port 6380             the gRPC API as well
  quiver-server --snapshot-upload-url URL    snapshots also go to object storage
  quiver-server --restore-from URL           into an empty data folder: the newest snapshot there
  quiver-server --replicaof 10.0.0.1 6379    a replica";

/// What the configuration holds besides parameters.
#[derive(Debug, Default)]
pub(crate) struct Startup {
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// The words of `user` lines.
    pub(crate) users: Vec<Vec<String>>,
    /// Old and new names of commands.
    pub(crate) renamed: Vec<(String, String)>,
}

/// Included files may include others, this deep.
const INCLUDE_DEPTH_MAX: usize = 16;

/// Applies a configuration file (the first argument, unless it is a parameter; `-` for standard input) and the
/// parameters behind it, which count as further lines of the file.
///
/// # Errors
/// Names the line and what is wrong with it, in the form of Redis.
pub(crate) fn apply(config: &Config, arguments: &[String]) -> Result<Startup> {
    let mut reader = Reader { config, startup: Startup::default(), save_given: false };
    let (mut rest, mut lines) = (arguments, 0);
    if let Some((file, parameters)) = arguments.split_first().filter(|(first, _)| !first.starts_with("--")) {
        let text = if file == "-" {
            std::io::read_to_string(std::io::stdin())?
        } else {
            // The working folder may change later.
            reader.startup.file = Some(std::path::absolute(file)?);
            read_file(Path::new(file))?
        };
        reader.text(&text, 0, 0)?;
        (rest, lines) = (parameters, text.lines().count());
    }
    reader.text(&as_lines(rest), lines, 0)?;
    Ok(reader.startup)
}

/// The command line as lines of a configuration file. Behind a name that stands alone comes its value, even if that
/// begins with two dashes.
fn as_lines(words: &[String]) -> String {
    let mut text = String::new();
    let mut wants_value = false;
    for (at, word) in words.iter().enumerate() {
        match word.strip_prefix("--").filter(|_| !wants_value) {
            None => {
                text.push_str(&format!("{} ", quoted(word)));
                wants_value = false;
            }
            Some(name) => {
                text.push('\n');
                match name.split_once('=').filter(|(name, _)| !name.contains(' ')) {
                    Some((name, value)) => text.push_str(&format!("{name} {}", quoted(value))),
                    None => text.push_str(&format!("{name} ")),
                }
                wants_value = !name.contains(['=', ' ']);
                // No save points may be said by saying nothing.
                if name == "save" && words.get(at + 1).is_none_or(|next| next.starts_with("--")) {
                    text.push_str("\"\"");
                    wants_value = false;
                }
            }
        }
    }
    text.trim_start_matches('\n').to_owned()
}

/// A word in double quotes, as lines of a configuration file are read.
fn quoted(word: &str) -> String {
    let mut out = String::from("\"");
    for byte in word.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("\\x{other:02x}")),
        }
    }
    out.push('"');
    out
}

fn read_file(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("Fatal error, can't open config file '{}'", path.display()))
}

/// What is wrong, where and with which text.
fn at_line(number: usize, line: &str, error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!(
        "\n*** FATAL CONFIG FILE ERROR (Redis {}) ***\nReading the configuration file, at line {number}\n>>> \
         '{line}'\n{error:#}",
        quiver_node::REDIS_VERSION
    )
}

/// Lines on their way into the configuration.
struct Reader<'a> {
    config: &'a Config,
    startup: Startup,
    /// There was a `save` line: the first replaces the default, further ones add up.
    save_given: bool,
}

impl Reader<'_> {
    fn text(&mut self, text: &str, lines_before: usize, depth: usize) -> Result<()> {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                self.line(line, depth).map_err(|error| at_line(lines_before + number + 1, line, &error))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str, depth: usize) -> Result<()> {
        let (mut text, mut ranges) = (Vec::new(), Vec::new());
        let split = split_inline(line.as_bytes(), &mut text, |range| ranges.push(range));
        split.ok().context("Unbalanced quotes in configuration line")?;
        let words = ranges.into_iter().map(|range| String::from_utf8_lossy(&text[range]).into_owned());
        let words: Vec<String> = words.collect();
        if words.is_empty() { Ok(()) } else { self.directive(&words, depth) }
    }

    fn directive(&mut self, words: &[String], depth: usize) -> Result<()> {
        let name = words[0].to_ascii_lowercase();
        let mut value = words[1..].join(" ");
        match (name.as_str(), &words[1..]) {
            ("include", _) if depth >= INCLUDE_DEPTH_MAX => bail!("files include each other too deeply"),
            ("include", [file]) => return self.text(&read_file(Path::new(file))?, 0, depth + 1),
            ("user", [_, ..]) => {
                self.startup.users.push(words.to_vec());
                return Ok(());
            }
            ("rename-command", [old, new]) => {
                self.startup.renamed.push((old.clone(), new.clone()));
                return Ok(());
            }
            ("loadmodule", _) => bail!("this parameter is not supported"),
            ("save", _) => {
                if self.save_given && !value.is_empty() {
                    value = format!("{} {value}", self.config.get("save")).trim().to_owned();
                }
                self.save_given = true;
            }
            ("replicaof" | "slaveof", [_, port])
                if port.parse::<u16>().is_err() && !port.eq_ignore_ascii_case("one") =>
            {
                bail!("Invalid master port")
            }
            ("replicaof" | "slaveof", [host, port]) => {
                let none = host.eq_ignore_ascii_case("no") && port.eq_ignore_ascii_case("one");
                value = if none { String::new() } else { format!("{host} {port}") };
            }
            ("replicaof" | "slaveof", words) if words != [""] => bail!("wrong number of arguments"),
            _ => {}
        }
        if !config::exists(&name) {
            bail!("Bad directive or wrong number of arguments");
        }
        if words.len() != 2 && !config::takes_several_words(&name) {
            bail!("wrong number of arguments");
        }
        self.config.set(&name, &value, false).map_err(anyhow::Error::msg)?;
        Ok(())
    }
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
    fn a_value_may_begin_with_dashes_or_stand_in_the_word_of_its_name() {
        let config = Config::default();
        apply(&config, &words("--save --proc-title-template --my--title --loglevel verbose")).unwrap();
        assert_eq!((config.get("save").as_str(), config.get("loglevel").as_str()), ("", "verbose"));
        assert_eq!(config.get("proc-title-template"), "--my--title");
        apply(&config, &["--shutdown-on-sigint nosave now".to_owned(), "--port 7001".to_owned()]).unwrap();
        assert_eq!((config.get("shutdown-on-sigint").as_str(), config.get("port").as_str()), ("nosave now", "7001"));
    }

    #[test]
    fn mistakes_say_the_line_and_the_reason_as_redis_does() {
        let config = Config::default();
        for (line, reason) in [
            ("--nonsense 1", "at line 1\n>>> 'nonsense \"1\"'\nBad directive or wrong number of arguments"),
            ("--hz 20 --port", "at line 2\n>>> 'port'\nwrong number of arguments"),
            ("--port 1 2", "at line 1\n>>> 'port \"1\" \"2\"'\nwrong number of arguments"),
            ("--appendonly maybe", "\nargument"),
        ] {
            let error = apply(&config, &words(line)).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("FATAL CONFIG FILE ERROR"), "{line}: {error}");
        }
    }

    #[test]
    fn mistakes_name_the_parameter() {
        let config = Config::default();
        for line in ["--nonsense 1", "--port x", "--maxmemory 1q", "stray"] {
            assert!(apply(&config, &words(line)).is_err(), "{line}");
        }
    }
}
