//! The tour's command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "\
quiver-demo --server PATH --dataset FOLDER [--python PATH --script PATH] [--resp-only]

  --server     the server's program, started with options as redis-server takes them
  --dataset    a folder in the layout of datasets/generate.py, with texts
  --python     an interpreter that has quiverdb installed; without it that part is left out
  --script     what it runs (python/examples/demo.py)
  --resp-only  leave gRPC out, to take the tour through another server that speaks RESP";

/// What to start and what to ask it.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The server's program.
    pub(crate) server: PathBuf,
    /// Folder of the data set.
    pub(crate) dataset: PathBuf,
    /// Python interpreter and script.
    pub(crate) python: Option<(PathBuf, PathBuf)>,
    /// Whether the server has a gRPC port.
    pub(crate) grpc: bool,
}

impl Options {
    /// Reads the command line without the program's name.
    pub(crate) fn parse(args: impl Iterator<Item = OsString>) -> Result<Self> {
        let (mut server, mut dataset, mut python, mut script) = (None, None, None, None);
        let mut grpc = true;
        let mut args = args;
        while let Some(name) = args.next() {
            let slot = match name.to_str() {
                Some("--server") => &mut server,
                Some("--dataset") => &mut dataset,
                Some("--python") => &mut python,
                Some("--script") => &mut script,
                Some("--resp-only") => {
                    grpc = false;
                    continue;
                }
                _ => bail!("unknown option {}\n\n{USAGE}", name.to_string_lossy()),
            };
            *slot = Some(PathBuf::from(
                args.next().with_context(|| format!("{} lacks its value", name.to_string_lossy()))?,
            ));
        }
        let (Some(server), Some(dataset)) = (server, dataset) else {
            bail!("--server and --dataset are needed\n\n{USAGE}");
        };
        Ok(Self { server, dataset, python: python.zip(script), grpc })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(line.split(' ').map(OsString::from))
    }

    #[test]
    fn python_is_optional_and_the_server_is_not() {
        let options = parse("--server s --dataset d").unwrap();
        assert!(options.python.is_none() && options.grpc);
        assert!(parse("--dataset d").is_err());
        assert!(parse("--server s --dataset").is_err());
        assert!(parse("--serve s").is_err());
    }
}
