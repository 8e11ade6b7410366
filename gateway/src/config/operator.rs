//! The settings about the link to the operator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ConfigError;
use crate::sync;

/// As they stand on the command line.
pub(super) struct Given {
    pub operator: Option<String>,
    pub ca: Option<PathBuf>,
    pub token_file: Option<PathBuf>,
    /// Also without an operator: every Pod's environment may say it.
    pub pod: Option<String>,
    pub state_dir: Option<PathBuf>,
    pub ping_ms: Option<u64>,
}

impl Given {
    /// `None`: no operator is named.
    pub fn config(self) -> Result<Option<sync::Config>, ConfigError> {
        let Some(operator) = self.operator else {
            return match (self.ca, self.token_file, self.state_dir) {
                (None, None, None) => Ok(None),
                (Some(_), ..) => Err(ConfigError::WithoutOperator("--operator-ca")),
                (_, Some(_), _) => Err(ConfigError::WithoutOperator("--operator-token-file")),
                (.., Some(_)) => Err(ConfigError::WithoutOperator("--state-dir")),
            };
        };
        let operator = operator.parse()?;
        // Whether they can be read is seen at each dial: what mounts them may be late.
        let ca = self.ca.ok_or(ConfigError::OperatorNeeds("--operator-ca"))?;
        let token_file = self.token_file.ok_or(ConfigError::OperatorNeeds("--operator-token-file"))?;
        let pod = self.pod.filter(|pod| !pod.is_empty()).ok_or(ConfigError::OperatorNeeds("--pod-name"))?;
        if let Some(folder) = &self.state_dir {
            writable(folder).map_err(|error| ConfigError::StateDir { path: folder.clone(), error })?;
        }
        let (state_dir, ping) = (self.state_dir, self.ping_ms.map(|ms| Duration::from_millis(ms.max(1))));
        let timing = ping.map_or_else(sync::Timing::default, sync::Timing::pinging);
        Ok(Some(sync::Config { operator, ca, token_file, pod, state_dir, timing }))
    }
}

/// What is found out only when the first catalog comes is found out too late.
fn writable(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(".writable");
    std::fs::write(&file, [])?;
    std::fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Args, Config, Source};
    use super::*;

    fn config(flags: &str) -> Result<Config, ConfigError> {
        Args::parse_from(std::iter::once("bannou-gateway").chain(flags.split_whitespace())).config()
    }

    #[test]
    fn what_an_operator_needs_is_said() {
        let whole = "--operator wss://op:9443 --operator-ca ca --operator-token-file t --pod-name p";
        let Ok(Config { source: Source::Operator(operator), .. }) = config(whole) else { panic!("it is whole") };
        assert_eq!((operator.operator.to_string().as_str(), operator.pod.as_str()), ("op:9443", "p"));
        for (without, flag) in [
            ("--operator-ca ca", "--operator-ca"),
            ("--operator-token-file t", "--operator-token-file"),
            ("--pod-name p", "--pod-name"),
            ("--operator wss://op:9443", "needs --operator"),
        ] {
            let error = config(&whole.replace(without, "")).err().unwrap().to_string();
            assert!(error.contains(flag), "{error}");
        }
        for (wrong, word) in [
            (whole.replace("wss:", "https:"), "wss://"),
            (whole.to_owned() + " --catalog c", "exclude"),
            (whole.to_owned() + " --state-dir /nowhere/at/all", "--state-dir"),
            ("--catalog c --state-dir /tmp".to_owned(), "needs --operator"),
        ] {
            let error = config(&wrong).err().unwrap().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert!(config("--catalog c --pod-name p").is_ok());
    }
}
