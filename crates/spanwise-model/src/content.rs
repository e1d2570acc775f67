//! Content: what people, models and tools said, which classes of it are recorded, and how the
//! others are kept off the wire.
//!
//! A [`ContentPolicy`] is asked twice. Recorders ask [`ContentPolicy::allows`] before they collect
//! anything, so that what is off costs nothing. Before a span leaves, [`ContentPolicy::apply`]
//! removes what instrumentations of any dialect put into it all the same: from attributes, from
//! lists of messages message by message, from events, and where an error quotes it.
//!
//! ```
//! use spanwise_model::content::{Class, ContentPolicy};
//!
//! let policy = ContentPolicy { system_prompts: false, ..ContentPolicy::default() };
//! assert!(policy.allows(Class::UserInput));
//! assert!(!policy.allows(Class::SystemPrompt));
//! assert!(!policy.is_everything());
//! ```

mod classes;
mod cut;
mod hash;
mod kind;
mod removal;
mod table;

pub use self::classes::Class;
pub use self::hash::{HashKey, hmac_sha256};

use self::classes::Classes;
use self::kind::Kind;
use self::removal::Removal;
use crate::{LogEvent, Span};

/// Which classes of content are recorded. The default is all of them, without hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentPolicy {
    /// Any content at all.
    pub content: bool,
    /// What models are given, apart from user input and system prompts.
    pub llm_inputs: bool,
    /// What models answer.
    pub llm_outputs: bool,
    /// What people write.
    pub user_inputs: bool,
    /// System prompts.
    pub system_prompts: bool,
    /// No content at all, whatever the other switches say.
    pub metadata_only: bool,
    /// Leaves `<key>.hash` where the content of a key was removed.
    pub hashes: Option<HashKey>,
}

impl Default for ContentPolicy {
    fn default() -> Self {
        ContentPolicy {
            content: true,
            llm_inputs: true,
            llm_outputs: true,
            user_inputs: true,
            system_prompts: true,
            metadata_only: false,
            hashes: None,
        }
    }
}

impl ContentPolicy {
    /// Whether everything is recorded, so that nothing has to be looked at.
    pub fn is_everything(&self) -> bool {
        self.off() == Classes::NONE
    }

    /// Whether content of this class is recorded; if not, do not even collect it.
    pub fn allows(&self, class: Class) -> bool {
        let is_on = match class {
            Class::UserInput => self.user_inputs,
            Class::SystemPrompt => self.system_prompts,
            Class::LlmInput => self.llm_inputs,
            Class::LlmOutput => self.llm_outputs,
            Class::ToolInput | Class::ToolOutput | Class::FunctionInput | Class::FunctionOutput => {
                true
            }
        };
        is_on && self.content && !self.metadata_only
    }

    /// Removes what is off from the span's attributes, events and links, and from its name, its
    /// status and its exceptions where those quote what was removed.
    pub fn apply(&self, span: &mut Span) {
        let off = self.off();
        if off == Classes::NONE {
            return;
        }
        let kind = Kind::of(span);
        Removal::new(self, kind, off).span(span);
    }

    /// Removes what is off from a log record: from its body and its attributes.
    pub fn apply_to_log_event(&self, event: &mut LogEvent) {
        let off = self.off();
        if off != Classes::NONE {
            Removal::new(self, Kind::Model, off).log_event(event);
        }
    }

    fn off(&self) -> Classes {
        if !self.content || self.metadata_only {
            return Classes::ALL;
        }
        let switches = [
            (self.user_inputs, Class::UserInput),
            (self.system_prompts, Class::SystemPrompt),
            (self.llm_inputs, Class::LlmInput),
            (self.llm_outputs, Class::LlmOutput),
        ];
        let off = switches.iter().filter(|(is_on, _)| !is_on);
        off.fold(Classes::NONE, |off, (_, class)| off.and(*class))
    }
}

#[cfg(test)]
mod tests;
