//! What is wrong with an option.

/// Why a [`Config`](crate::Config) cannot be used. Names the option, or the environment variable
/// that stood in for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There is no such option.
    #[error("unknown option `{option}`{}", did_you_mean(.nearest.as_deref()))]
    Unknown {
        /// The name that was given.
        option: String,
        /// The option that is spelled most alike.
        nearest: Option<&'static str>,
    },
    /// The value is of another type than the option's.
    #[error("{option}: expected {expected}, got {got}")]
    WrongType {
        /// The option.
        option: String,
        /// What it takes.
        expected: &'static str,
        /// The type of what was given.
        got: &'static str,
    },
    /// The value cannot be used.
    #[error("{option}: {reason}")]
    Invalid {
        /// The option.
        option: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The option was set when tracing started and stays.
    #[error("{option}: cannot be changed while tracing runs")]
    Fixed {
        /// The option.
        option: String,
    },
}

impl ConfigError {
    pub(super) fn invalid(option: impl Into<String>, reason: impl Into<String>) -> Self {
        ConfigError::Invalid { option: option.into(), reason: reason.into() }
    }

    /// The option, or the environment variable.
    pub fn option(&self) -> &str {
        match self {
            ConfigError::Unknown { option, .. }
            | ConfigError::WrongType { option, .. }
            | ConfigError::Invalid { option, .. }
            | ConfigError::Fixed { option } => option,
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|nearest| format!("; did you mean `{nearest}`?")).unwrap_or_default()
}
