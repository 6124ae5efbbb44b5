//! Errors that callers only print.

/// Defines an error type that is a message for people. Callers that distinguish errors need an enum
/// instead.
#[macro_export]
macro_rules! message_error {
    ($(#[$attribute:meta])* $visibility:vis $name:ident) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, ::thiserror::Error)]
        #[error("{0}")]
        $visibility struct $name(String);

        impl From<String> for $name {
            fn from(message: String) -> Self {
                Self(message)
            }
        }

        impl From<&str> for $name {
            fn from(message: &str) -> Self {
                Self(message.to_owned())
            }
        }
    };
}
